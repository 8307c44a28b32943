// Parts: the slots of a block, their headers and their accounting.
#include <cstring>

#include "engine/cache.h"

namespace headrace::engine {

SlotIndex BlockCache::FindPart(BlockIndex index, uint32_t group, uint32_t rank) const {
  for (SlotIndex s = table_[index].first_slot; s != kNone; s = p_.slab->record(s).next) {
    const SlotRecord& record = p_.slab->record(s);
    if (record.group == group && record.rank == rank) return s;
  }
  return kNone;
}

uint32_t BlockCache::GroupsPresent(BlockIndex index) const {
  const Block& block = table_[index];
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  uint32_t ranks[wire::kMaxGroups] = {};
  uint32_t present = 0;
  for (SlotIndex s = block.first_slot; s != kNone; s = p_.slab->record(s).next) {
    const SlotRecord& record = p_.slab->record(s);
    if (record.use != SlotUse::kComplete) continue;
    if (++ranks[record.group] == ns.world_size) present |= 1u << record.group;
  }
  return present & ns.other_groups;
}

SlotIndex BlockCache::TakeSlot(SizeClass size_class) {
  const SlotIndex slot = p_.slab->Take(size_class);
  if (slot == kNone) return kNone;
  const uint64_t bytes = std::min(evicted_unused_, p_.slab->slot_bytes(size_class));
  evicted_unused_ -= bytes;
  p_.context->stats.evictions_needed_bytes += bytes;
  return slot;
}

void BlockCache::WriteHeader(BlockIndex index, SlotIndex slot, const PartSpec& spec) {
  const Block& block = table_[index];
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  const PartShape& shape = ns.shape(spec.rank, spec.group);
  wire::SlotHeader& header = p_.meta->slots()[slot];
  HR_CHECK(wire::LoadState(header) == wire::SlotState::kFree);
  wire::StoreState(&header, wire::SlotState::kFilling);
  header.checksum = 0;
  header.name_space = block.name_space;
  header.generation = block.generation;
  header.payload_bytes = shape.payload_bytes();
  std::memcpy(header.hash, block.hash, sizeof(header.hash));
  std::memcpy(header.parent, spec.parent.bytes.data(), sizeof(header.parent));
  header.hash_bytes = block.hash_bytes;
  header.parent_bytes = spec.parent.size;
  header.group = static_cast<uint8_t>(spec.group);
  header.flags = 0;
  header.rank = static_cast<uint16_t>(spec.rank);
  header.world_size = static_cast<uint16_t>(ns.world_size);
  header.num_layers = static_cast<uint16_t>(shape.layers);
  header.parts = static_cast<uint8_t>(shape.parts);
  header.segment_bytes = static_cast<uint32_t>(shape.segment_bytes);
  header.writer_uid = spec.uid;
  header.writer_instance = p_.quotas->name_hash(spec.owner);
  header.depth = block.depth;
  header.block_tokens = ns.block_tokens;
  wire::SealHeader(&header);
}

void BlockCache::AddPart(BlockIndex index, SlotIndex slot, const PartSpec& spec) {
  Block& block = table_[index];
  HR_CHECK(!block.is(kZombie));
  HR_DCHECK(FindPart(index, spec.group, spec.rank) == kNone);
  SlotRecord& record = p_.slab->record(slot);
  HR_CHECK(record.use == SlotUse::kFilling && record.block == kNone);
  const bool was_ghost = block.ghost();
  record.block = index;
  record.owner = spec.owner;
  record.rank = static_cast<uint16_t>(spec.rank);
  record.group = static_cast<uint8_t>(spec.group);
  record.next = block.first_slot;
  block.first_slot = slot;
  block.classes |= 1u << p_.slab->class_of(slot);
  p_.quotas->Charge(spec.owner, p_.slab->bytes_of(slot));
  WriteHeader(index, slot, spec);
  if (was_ghost) JoinHidden(index);
  Pin(index);
}

bool BlockCache::CommitPart(SlotIndex slot) {
  SlotRecord& record = p_.slab->record(slot);
  HR_CHECK(record.use == SlotUse::kFilling);
  const BlockIndex index = record.block;
  Block& block = table_[index];
  HR_CHECK(block.is(kInUse) && block.pins > 0);
  record.use = SlotUse::kComplete;
  if (block.is(kZombie)) {
    Unpin(index);
    return false;
  }
  wire::SlotHeader& header = p_.meta->slots()[slot];
  wire::StoreState(&header, wire::SlotState::kComplete);
  Namespace& ns = (*p_.namespaces)[block.name_space];
  ++block.complete;
  if (ns.groups[record.group].kind == wire::GroupKind::kFull) ++block.full_complete;
  if (block.visible()) {
    p_.context->stats.live_bytes += header.payload_bytes;
    ns.live_bytes += header.payload_bytes;
  } else {
    TryReveal(index);
  }
  const bool counts = !IsStale(block);
  Unpin(index);
  return counts;
}

void BlockCache::FailPart(SlotIndex slot) {
  const BlockIndex index = p_.slab->record(slot).block;
  Block& block = table_[index];
  HR_CHECK(p_.slab->record(slot).use == SlotUse::kFilling && block.pins > 0);
  UnlinkPart(index, slot);
  GiveSlot(slot);
  if (block.first_slot == kNone && block.is(kHidden)) LeaveHidden(index);
  Unpin(index);
}

void BlockCache::UnlinkPart(BlockIndex index, SlotIndex slot) {
  Block& block = table_[index];
  block.classes = 0;
  SlotIndex* link = &block.first_slot;
  bool found = false;
  while (*link != kNone) {
    SlotRecord& record = p_.slab->record(*link);
    if (*link == slot) {
      *link = record.next;
      found = true;
      continue;
    }
    block.classes |= 1u << p_.slab->class_of(*link);
    link = &record.next;
  }
  HR_CHECK(found);
}

void BlockCache::GiveSlot(SlotIndex slot) {
  wire::StoreState(&p_.meta->slots()[slot], wire::SlotState::kFree);
  p_.quotas->Refund(p_.slab->record(slot).owner, p_.slab->bytes_of(slot));
  p_.slab->Give(slot);
}

void BlockCache::FreeParts(BlockIndex index) {
  Block& block = table_[index];
  HR_CHECK(block.pins == 0 && !block.visible());
  while (block.first_slot != kNone) {
    const SlotIndex slot = block.first_slot;
    block.first_slot = p_.slab->record(slot).next;
    HR_CHECK(p_.slab->record(slot).use == SlotUse::kComplete);
    GiveSlot(slot);
    p_.context->Spend(1);
  }
  block.classes = 0;
  block.complete = block.full_complete = 0;
}

// A removed block whose slots are still read must not come back after a crash.
void BlockCache::ForgetParts(BlockIndex index) {
  for (SlotIndex s = table_[index].first_slot; s != kNone; s = p_.slab->record(s).next) {
    wire::StoreState(&p_.meta->slots()[s], wire::SlotState::kFree);
  }
}

uint64_t BlockCache::PayloadOf(SlotIndex slot) const {
  const SlotRecord& record = p_.slab->record(slot);
  const Block& block = table_[record.block];
  return (*p_.namespaces)[block.name_space].shape(record.rank, record.group).payload_bytes();
}

uint64_t BlockCache::SlotBytes(const Block& block) const {
  uint64_t bytes = 0;
  for (SlotIndex s = block.first_slot; s != kNone; s = p_.slab->record(s).next) {
    bytes += p_.slab->bytes_of(s);
  }
  return bytes;
}

uint64_t BlockCache::LivePayload(const Block& block) const {
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  uint64_t bytes = 0;
  for (SlotIndex s = block.first_slot; s != kNone; s = p_.slab->record(s).next) {
    const SlotRecord& record = p_.slab->record(s);
    if (record.use != SlotUse::kComplete) continue;
    bytes += ns.shape(record.rank, record.group).payload_bytes();
  }
  return bytes;
}

}  // namespace headrace::engine
