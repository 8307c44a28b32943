// Everything that must hold between the parts of the core. Slow: for tests.
#include "engine/core.h"

namespace headrace::engine {

void BlockCache::CheckParts(BlockIndex index) const {
  const Block& block = table_[index];
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  uint32_t complete = 0, full = 0;
  ClassMask classes = 0;
  for (SlotIndex s = block.first_slot; s != kNone; s = p_.slab->record(s).next) {
    const SlotRecord& record = p_.slab->record(s);
    const wire::SlotHeader& header = p_.meta->slots()[s];
    HR_CHECK(record.block == index && record.use != SlotUse::kFree);
    HR_CHECK(FindPart(index, record.group, record.rank) == s);
    classes |= 1u << p_.slab->class_of(s);
    if (block.is(kZombie)) continue;
    HR_CHECK(header.depth == block.depth && std::memcmp(header.hash, block.hash, 32) == 0);
    HR_CHECK(header.group == record.group && header.rank == record.rank);
    const bool is_complete = record.use == SlotUse::kComplete;
    HR_CHECK((wire::LoadState(header) == wire::SlotState::kComplete) == is_complete);
    if (!is_complete) continue;
    ++complete;
    full += ns.groups[record.group].kind == wire::GroupKind::kFull ? 1 : 0;
  }
  HR_CHECK(classes == block.classes);
  if (!block.is(kZombie)) HR_CHECK(complete == block.complete && full == block.full_complete);
}

void BlockCache::CheckFamily(BlockIndex index) const {
  const Block& block = table_[index];
  const bool closed = (*p_.namespaces)[block.name_space].closed();
  BlockIndex previous = kNone;
  for (BlockIndex c = block.first_child; c != kNone; c = table_[c].next_sibling) {
    const Block& child = table_[c];
    HR_CHECK(child.is(kInUse) && !child.is(kZombie));
    HR_CHECK(child.parent == index && child.prev_sibling == previous);
    HR_CHECK(closed ? child.depth == block.depth + 1 : child.depth > block.depth);
    HR_CHECK(child.name_space == block.name_space && child.generation == block.generation);
    previous = c;
  }
  if (block.parent != kNone) HR_CHECK(!table_[block.parent].is(kZombie));
  if (block.visible() && closed) {
    HR_CHECK(block.depth == 0 || (block.parent != kNone && table_[block.parent].visible()));
    const uint64_t before = block.parent == kNone ? 0 : table_[block.parent].chain_sum;
    HR_CHECK(block.chain_sum == before + chain_sum_.Term(block.hash, block.depth));
  }
}

void BlockCache::CheckBlock(BlockIndex index, uint32_t pins) const {
  const Block& block = table_[index];
  HR_CHECK(block.pins == pins);
  CheckParts(index);
  if (block.is(kZombie)) {
    HR_CHECK(block.pins > 0 && block.parent == kNone && block.first_child == kNone);
    HR_CHECK(block.first_lease == kNone && !block.visible() && !block.is(kHidden));
    return;
  }
  CheckFamily(index);
  HR_CHECK(table_.Find(table_.KeyOf(index)) == index);
  HR_CHECK((table_.FindVisible(table_.KeyOf(index), block.depth) == index) == block.visible());
  HR_CHECK(block.ghost() + block.is(kHidden) + block.visible() == 1);
  if (block.visible()) HR_CHECK(IsComplete(block));
  if (block.ghost() && block.first_child == kNone && block.pins == 0) {
    HR_CHECK(block.is(kReaping));
  }
  if (block.is(kHasOrigin)) HR_CHECK(origins_.contains(index));
  if (block.evictable()) p_.policy->CheckKnown(index);
}

void BlockCache::CheckBlocks(const std::vector<uint32_t>& pins) const {
  uint64_t visible = 0, hidden = 0, waiting = 0, live = 0, zombies = 0, used = 0;
  for (BlockIndex i = 0; i < table_.touched(); ++i) {
    const Block& block = table_[i];
    HR_CHECK(block.is(kInUse) || pins[i] == 0);
    if (!block.is(kInUse)) continue;
    CheckBlock(i, pins[i]);
    ++used;
    zombies += block.is(kZombie);
    visible += block.visible();
    hidden += block.is(kHidden);
    waiting += block.is(kHidden) & (block.pins == 0);
    if (block.visible()) live += LivePayload(block);
  }
  const Stats& stats = p_.context->stats;
  HR_CHECK(visible == stats.blocks_visible && hidden == stats.blocks_hidden);
  HR_CHECK(waiting == hidden_waiting_ && live == stats.live_bytes && used == table_.size());
  table_.CheckIndex(used - zombies);
}

// Every slot that is taken belongs to exactly one block: as many as the blocks' chains have.
void BlockCache::CheckSlots() const {
  uint64_t parts = 0, taken = 0;
  for (BlockIndex i = 0; i < table_.touched(); ++i) {
    if (!table_[i].is(kInUse)) continue;
    for (SlotIndex s = table_[i].first_slot; s != kNone; s = p_.slab->record(s).next) ++parts;
  }
  for (SlotIndex s = 0; s < p_.slab->num_slots(); ++s) {
    const bool free = p_.slab->record(s).use == SlotUse::kFree;
    taken += free ? 0 : 1;
    HR_CHECK(!free || wire::LoadState(p_.meta->slots()[s]) == wire::SlotState::kFree);
  }
  HR_CHECK(taken == parts);
}

void BlockCache::CheckInvariants(const std::vector<uint32_t>& pins) const {
  CheckBlocks(pins);
  CheckSlots();
  uint64_t listed = 0;
  int64_t since = 0;
  for (BlockIndex i = hidden_.front(); i != kNone; i = table_[i].line_next, ++listed) {
    HR_CHECK(table_[i].is(kHidden) && table_[i].last_access >= since);
    since = table_[i].last_access;
  }
  HR_CHECK(listed == p_.context->stats.blocks_hidden);
}

void Engine::State::CheckInvariants() const {
  slab_.CheckPages();
  std::vector<uint32_t> pins(cache_->table().capacity());
  transfers_->CheckTransfers(slab_, &pins);
  sweeper_->CountPins(&pins);
  queries_->CountPins(&pins);
  cache_->CheckInvariants(pins);
  leasing_->CheckLeases();
  uint64_t blocks = 0, sessions = 0, registrations = 0, leases = 0, handles = 0;
  for (NamespaceId id = 0; id < namespaces_.capacity(); ++id) blocks += namespaces_[id].blocks;
  sessions_.ForEach([&](const Session& session) {
    ++sessions;
    registrations += session.registrations.size();
    leases += session.leases;
    handles += session.handles.size();
  });
  const Stats& stats = context_.stats;
  HR_CHECK(blocks == cache_->table().size());
  HR_CHECK(sessions == stats.sessions && registrations == stats.registrations);
  HR_CHECK(leases == stats.leases && handles == stats.handles);
}

}  // namespace headrace::engine
