#include "engine/leasing.h"

namespace headrace::engine {

namespace {
// Address space, not memory: the table is backed as it is used.
constexpr uint64_t kMostLeases = 4u << 20;
}  // namespace

Result<std::unique_ptr<Leasing>> Leasing::Create(const Parts& parts) {
  std::unique_ptr<Leasing> leasing(new Leasing(parts));
  const Limits& limits = parts.context->limits;
  const uint64_t most = uint64_t{limits.max_leases_per_session} * limits.max_sessions;
  HR_TRY(leasing->leases_,
         LeaseTable::Create(static_cast<uint32_t>(std::min<uint64_t>(most, kMostLeases))));
  parts.cache->Listen(leasing.get());
  return leasing;
}

LeaseIndex Leasing::SameHolder(BlockIndex tip, InstanceId instance, LeaseIndex but) const {
  constexpr int kLooked = 8;
  LeaseIndex index = (*p_.cache)[tip].first_lease;
  for (int i = 0; i < kLooked && index != kNone; ++i, index = leases_[index].block_next) {
    if (index != but && leases_[index].instance == instance) return index;
  }
  return kNone;
}

Result<LeaseId> Leasing::Grant(Session* session, BlockIndex tip, uint32_t consumers) {
  Stats& stats = p_.context->stats;
  Block& block = (*p_.cache)[tip];
  HR_CHECK(block.visible() && consumers > 0);
  if (session->leases >= p_.context->limits.max_leases_per_session) {
    ++stats.limit_leases;
    ++stats.limit_hits;
    return Fail(Errc::kLimit, "max-leases-per-session reached");
  }
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  const uint32_t blocks = block.depth + 1;
  // The same prefix again pins nothing more.
  const bool again = SameHolder(tip, session->instance, kNone) != kNone;
  const uint64_t bytes = again ? 0 : blocks * ns.block_bytes;
  if (!p_.quotas->MayLease(session->instance, bytes, ns.live_bytes)) {
    ++stats.limit_leased;
    ++stats.limit_hits;
    return Fail(Errc::kLimit, "instance-max-leased reached");
  }
  const LeaseIndex index = leases_.Add();
  if (index == kNone) {
    ++stats.limit_leases;
    ++stats.limit_hits;
    return Fail(Errc::kLimit, "no room for another lease");
  }
  Lease& lease = leases_[index];
  lease.tip = tip;
  lease.blocks = blocks;
  lease.session = session;
  lease.instance = session->instance;
  lease.name_space = block.name_space;
  lease.bytes = bytes;
  lease.deadline = p_.context->now + p_.context->limits.max_lease;
  lease.consumers = consumers;
  leases_.LinkBlock(index, &block.first_lease);
  leases_.LinkSession(index, &session->first_lease);
  leases_.LinkDue(index);
  ++session->leases;
  p_.quotas->ChargeLease(lease.instance, bytes);
  p_.cache->LeaseChanged(tip);
  ++stats.leases;
  ++stats.leases_granted;
  return lease.id;
}

void Leasing::End(LeaseIndex index, Why why) {
  Lease& lease = leases_[index];
  HR_CHECK(lease.id != 0 && lease.session->leases > 0);
  const BlockIndex tip = lease.tip;
  if (lease.bytes > 0) {  // somebody else of the instance who holds the same prefix carries on
    const LeaseIndex heir = SameHolder(tip, lease.instance, index);
    if (heir != kNone && leases_[heir].bytes == 0) std::swap(leases_[heir].bytes, lease.bytes);
  }
  leases_.UnlinkBlock(index, &(*p_.cache)[tip].first_lease);
  leases_.UnlinkSession(index, &lease.session->first_lease);
  leases_.UnlinkDue(index);
  --lease.session->leases;
  p_.quotas->RefundLease(lease.instance, lease.bytes);
  leases_.Free(index);
  p_.cache->LeaseChanged(tip);
  Stats& stats = p_.context->stats;
  --stats.leases;
  stats.leases_released += why == Why::kReleased ? 1 : 0;
  stats.leases_expired += why == Why::kExpired ? 1 : 0;
  stats.leases_hung_up += why == Why::kHungUp ? 1 : 0;
  p_.context->Spend(1);
}

Result<const Lease*> Leasing::Check(LeaseId id, const Session& session,
                                    NamespaceId name_space) const {
  HR_TRY(const LeaseIndex index, leases_.Find(id));
  const Lease& lease = leases_[index];
  if (lease.instance != session.instance) {
    return Fail(Errc::kPermission, "the lease belongs to another instance");
  }
  if (lease.name_space != name_space) {
    return Fail(Errc::kPermission, "the lease belongs to another namespace");
  }
  const Block& tip = (*p_.cache)[lease.tip];
  if (tip.generation != (*p_.namespaces)[name_space].generation_low()) {
    return Fail(Errc::kGone, "the namespace was cleared after the lease");
  }
  if (lease.loads == 0 && lease.deadline <= p_.context->now) {
    return Fail(Errc::kGone, "the lease is over");
  }
  return &lease;
}

void Leasing::LoadStarts(LeaseId id) {
  const auto index = leases_.Find(id);
  HR_CHECK(index.has_value());
  Lease& lease = leases_[*index];
  HR_CHECK(lease.consumers > 0);
  if (--lease.consumers == 0) {
    End(*index, Why::kReleased);
    return;
  }
  ++lease.loads;
  leases_.UnlinkDue(*index);
}

void Leasing::LoadEnds(LeaseId id) {
  const auto index = leases_.Find(id);
  if (!index) return;  // ended meanwhile
  Lease& lease = leases_[*index];
  HR_CHECK(lease.loads > 0);
  if (--lease.loads > 0) return;
  lease.deadline = p_.context->now + p_.context->limits.max_lease;
  leases_.LinkDue(*index);
}

void Leasing::Release(const Session& session, LeaseId id) {
  const auto index = leases_.Find(id);
  if (index && leases_[*index].instance == session.instance) End(*index, Why::kReleased);
}

bool Leasing::EndOneOf(Session* session) {
  if (session->first_lease == kNone) return false;
  End(session->first_lease, Why::kHungUp);
  return true;
}

bool Leasing::HasDue() const {
  const LeaseIndex first = leases_.first_due();
  return first != kNone && leases_[first].deadline <= p_.context->now;
}

void Leasing::RunDue() {
  while (HasDue() && !p_.context->spent()) End(leases_.first_due(), Why::kExpired);
}

std::optional<Time> Leasing::NextDeadline() const {
  const LeaseIndex first = leases_.first_due();
  if (first == kNone) return std::nullopt;
  return leases_[first].deadline;
}

bool Leasing::EndAllOn(BlockIndex block) {
  while ((*p_.cache)[block].first_lease != kNone) {
    if (p_.context->spent()) return false;
    End((*p_.cache)[block].first_lease, Why::kReleased);
  }
  return true;
}

void Leasing::BlockGoes(BlockIndex block) {
  while ((*p_.cache)[block].first_lease != kNone) {
    End((*p_.cache)[block].first_lease, Why::kReleased);
  }
}

void Leasing::CheckLeases() const {
  size_t live = 0;
  for (LeaseIndex i = 0; i < leases_.touched(); ++i) {
    const Lease& lease = leases_[i];
    if (lease.id == 0) continue;
    ++live;
    const Block& tip = (*p_.cache)[lease.tip];
    HR_CHECK(tip.visible() && tip.depth + 1 == lease.blocks);
    HR_CHECK(lease.consumers > 0 && lease.due_listed == (lease.loads == 0));
    bool on_block = false;
    for (LeaseIndex on = tip.first_lease; on != kNone; on = leases_[on].block_next) {
      on_block = on_block || on == i;
    }
    HR_CHECK(on_block);
  }
  HR_CHECK(live == leases_.size() && live == p_.context->stats.leases);
}

}  // namespace headrace::engine
