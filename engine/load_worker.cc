#include "engine/load_worker.h"

namespace headrace::engine {

namespace {

Status ValidateTargets(const wire::Load& load, const Registration& registration) {
  if (load.blocks_by_group.size() != registration.groups.size()) {
    return Fail(Errc::kInvalid, "blocks_by_group must have one list a group");
  }
  bool any = false;
  for (size_t g = 0; g < load.blocks_by_group.size(); ++g) {
    const std::vector<uint32_t>& blocks = load.blocks_by_group[g];
    if (!blocks.empty() && blocks.size() != load.count) {
      return Fail(Errc::kInvalid, "blocks_by_group: a list has neither 0 nor count entries");
    }
    for (const uint32_t block : blocks) {
      if (block == wire::kNoBlock) continue;
      any = true;
      if (block >= registration.groups[g].num_blocks) {
        return Fail(Errc::kInvalid, "blocks_by_group: a block id is beyond the buffer");
      }
    }
  }
  if (!any) return Fail(Errc::kInvalid, "blocks_by_group names no block");
  return {};
}

}  // namespace

Status LoadWorker::Validate(const wire::Load& load, const Registration& registration) const {
  if (registration.groups.empty()) {
    return Fail(Errc::kInvalid, "registration has no buffers: only a rank can load");
  }
  HR_TRY(const Lease* lease,
         p_.leasing->Check(load.lease, *registration.session, registration.name_space));
  if (load.count == 0 || uint64_t{load.first} + load.count > lease->blocks) {
    return Fail(Errc::kInvalid, "first and count reach beyond the leased blocks");
  }
  return ValidateTargets(load, registration);
}

void LoadWorker::Prepare(Transfer* transfer, const wire::Load& load) {
  LoadWork& work = transfer->work.emplace<LoadWork>();
  work.lease = load.lease;
  work.first = load.first;
  work.count = load.count;
  work.blocks_by_group = load.blocks_by_group;
  for (const auto& blocks : work.blocks_by_group) {
    for (const uint32_t block : blocks) work.wanted += block != wire::kNoBlock ? 1 : 0;
  }
  const auto lease = p_.leasing->Check(load.lease, *transfer->session, transfer->name_space);
  HR_CHECK(lease.has_value());
  transfer->cursor = (*lease)->tip;
  transfer->purge_count = (*p_.namespaces)[transfer->name_space].purge_count;
  p_.cache->Pin(transfer->cursor);
  p_.cache->Touch(transfer->cursor);
  p_.leasing->LoadStarts(load.lease);
}

// Null, or what took the ground away. Bytes that were read before may be the wrong ones.
const char* LoadWorker::WhyGone(const Transfer& transfer) const {
  const Namespace& ns = (*p_.namespaces)[transfer.name_space];
  if (transfer.generation != ns.generation_low())
    return "the namespace was cleared during the load";
  if (transfer.purge_count != ns.purge_count) return "blocks were purged during the load";
  if (transfer.cursor != kNone && (*p_.cache)[transfer.cursor].is(kZombie)) {
    return "blocks were removed during the load";
  }
  return nullptr;
}

// Takes the parts of the block at the cursor; false when one is missing.
bool LoadWorker::CollectOne(Transfer* transfer, Batches* batches) {
  LoadWork& work = transfer->load();
  const BlockIndex index = transfer->cursor;
  const uint32_t position = (*p_.cache)[index].depth - work.first;
  for (size_t g = 0; g < work.blocks_by_group.size(); ++g) {
    const auto& blocks = work.blocks_by_group[g];
    if (blocks.empty() || blocks[position] == wire::kNoBlock) continue;
    const SlotIndex slot =
        p_.cache->FindPart(index, static_cast<uint32_t>(g), transfer->registration->rank);
    if (slot == kNone || !p_.cache->IsPartComplete(slot)) return false;
    p_.cache->Pin(index);
    batches->groups[g].slots.push_back(slot);
    batches->groups[g].copies.push_back(p_.cache->Place(slot, blocks[position]));
    ++batches->blocks;
    ++work.found;
    p_.context->Spend(1);
  }
  return true;
}

void LoadWorker::Drop(Batches* batches) {
  for (Batch& batch : batches->groups) {
    for (const SlotIndex slot : batch.slots) p_.cache->Unpin(p_.cache->BlockOf(slot));
    batch = {};
  }
}

void LoadWorker::Flush(Transfer* transfer, Batches* batches) {
  for (size_t g = 0; g < transfer->registration->groups.size(); ++g) {
    Batch& batch = batches->groups[g];
    if (batch.slots.empty()) continue;
    p_.transfers->Emit(transfer, transfer->registration->groups[g].buffer, std::move(batch.slots),
                       std::move(batch.copies));
    batch = {};
  }
}

// The cursor goes to the block before, or away when the walk is over.
void LoadWorker::Step(Transfer* transfer) {
  const BlockIndex index = transfer->cursor;
  const BlockIndex parent = (*p_.cache)[index].parent;
  const bool more = parent != kNone && (*p_.cache)[parent].depth >= transfer->load().first;
  if (more) p_.cache->Pin(parent);
  p_.cache->Unpin(index);
  transfer->cursor = more ? parent : kNone;
}

void LoadWorker::Slice(Transfer* transfer) {
  if (const char* why = WhyGone(*transfer); why != nullptr) {
    p_.transfers->End(transfer, Errc::kGone, why);
    return;
  }
  LoadWork& work = transfer->load();
  const uint64_t groups = transfer->registration->groups.size();
  const uint32_t end = work.first + work.count;
  Batches batches;
  uint32_t passed = 0;
  while (transfer->cursor != kNone) {
    if (p_.context->spent() || batches.blocks >= p_.context->limits.slice_blocks ||
        p_.transfers->room_in_flight() < batches.blocks + groups) {
      break;
    }
    if ((*p_.cache)[transfer->cursor].depth < end) {
      if (!CollectOne(transfer, &batches)) {
        Drop(&batches);
        p_.transfers->End(transfer, Errc::kNotFound, "a block has no part for this group and rank");
        return;
      }
    } else if (++passed % 4 == 0) {
      p_.context->Spend(1);
    }
    Step(transfer);
  }
  if (transfer->cursor == kNone && work.found < work.wanted) {
    Drop(&batches);
    p_.transfers->End(transfer, Errc::kNotFound, "a position is not there");
    return;
  }
  Flush(transfer, &batches);
  transfer->walking = transfer->cursor != kNone;
}

const char* LoadWorker::Settle(Transfer* transfer, const Job& job, const wire::CopyDone& done) {
  bool gone = false;
  uint64_t bytes = 0;
  for (const SlotIndex slot : job.slots) {
    const BlockIndex block = p_.cache->BlockOf(slot);
    gone = gone || (*p_.cache)[block].is(kZombie);
    bytes += p_.cache->PayloadOf(slot);
    p_.cache->Unpin(block);
  }
  if (done.code != Errc::kOk) return nullptr;
  transfer->load().counts.bytes += bytes;
  return gone ? "blocks were removed during the load" : WhyGone(*transfer);
}

void LoadWorker::Stop(Transfer* transfer) {
  if (transfer->cursor != kNone) p_.cache->Unpin(transfer->cursor);
  transfer->cursor = kNone;
}

void LoadWorker::Answer(Transfer* transfer, Reply* reply) {
  LoadWork& work = transfer->load();
  Stats& stats = p_.context->stats;
  p_.leasing->LoadEnds(work.lease);
  ++stats.loads;
  reply->type = wire::MessageType::kLoad;
  if (transfer->ending) {
    ++stats.failed_loads;
    const bool cancelled = transfer->code == Errc::kCancelled || transfer->code == Errc::kTimeout;
    stats.cancelled_loads += cancelled ? 1 : 0;
    reply->error = {transfer->code, 0, transfer->text};
    reply->body = wire::LoadReply{};
    return;
  }
  HR_CHECK(work.found == work.wanted);
  work.counts.loaded = work.count;
  stats.loaded_blocks += work.count;
  stats.loaded_bytes += work.counts.bytes;
  reply->body = work.counts;
}

}  // namespace headrace::engine
