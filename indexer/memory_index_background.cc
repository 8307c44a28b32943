// What the memory index does beside adding and removing: it keeps its budget, sweeps what ended
// holders left, and tells how it is.
#include <algorithm>

#include "indexer/memory_index.h"

namespace headrace::indexer {
namespace {

constexpr uint64_t kCopyBytes = 56;  // of the map of counts, an entry with its share of buckets

}  // namespace

// ---- The byte budget ----

uint64_t MemoryIndex::SideBytes() const {
  return side_source_.bytes() + sets_.behind_bytes() + links_.directory_bytes() + holders_.bytes() +
         side_pages_.list_bytes() + extra_copies_.size() * kCopyBytes;
}

// What so many blocks may take at most on the side: a new set each, a link and a count.
uint64_t MemoryIndex::WorstSideBytes(size_t blocks) const {
  constexpr size_t kPages = 16;  // tables that grow, or split
  const size_t chunks = sets_.WorstChunks(blocks) + links_.WorstChunks(blocks) +
                        (side_pages_.spare() < kPages ? 1 : 0);
  return blocks * (HolderSets::WorstBytes(holders_.numbers()) + kCopyBytes) +
         chunks * side_source_.chunk_bytes();
}

// Before blocks are added or linked.
void MemoryIndex::MakeRoom(size_t blocks) {
  while (used_slots_ > 0 && used_slots_ + blocks > max_slots_) EvictOne();
  if (max_bytes_ == 0) return;
  while (used_slots_ > 0 && SideBytes() + WorstSideBytes(blocks) > max_bytes_ / 4) EvictOne();
}

void MemoryIndex::EvictOne() {
  for (;;) {
    const uint32_t slot = hand_;
    hand_ = hand_ + 1 < slots_ ? hand_ + 1 : 0;
    Slot block = At(slot);
    if (block.key == 0) continue;
    if ((block.flags & kUsed) != 0) {
      block.flags &= static_cast<uint8_t>(~kUsed);
      continue;
    }
    if ((block.flags & kCounted) != 0) {
      sets_.ForEach(block.set,
                    [&](HolderId holder) { extra_copies_.erase(CopyName(slot, holder)); });
    }
    sets_.Unref(block.set);
    block.set = kEmptySet;
    FreeSlot(slot);
    ++evicted_;
    return;
  }
}

// ---- The sweep ----

bool MemoryIndex::HasEnded(SetId set) const {
  return std::any_of(sweeping_.begin(), sweeping_.end(),
                     [&](HolderId holder) { return sets_.Contains(set, holder); });
}

void MemoryIndex::SweepSlot(uint32_t slot) {
  Slot block = At(slot);
  if (block.key == 0) return;
  for (const HolderId holder : sweeping_) {
    const SetId set = sets_.Without(block.set, holder);
    if (set == block.set) continue;
    if ((block.flags & kCounted) != 0) extra_copies_.erase(CopyName(slot, holder));
    if (set != kEmptySet) sets_.Ref(set);
    sets_.Unref(block.set);
    block.set = set;
    if (set == kEmptySet) {
      FreeSlot(slot);
      return;
    }
  }
}

bool MemoryIndex::Sweep(size_t steps) {
  SetId clean = kEmptySet;  // of the slot before, mostly of this one too
  for (; steps > 0; --steps) {
    if (sweeping_.empty()) {
      if (ended_.empty()) return false;
      sweeping_.swap(ended_);
      sweep_slot_ = 0;
      clean = kEmptySet;
    }
    if (sweep_slot_ >= slots_) {
      for (const HolderId holder : sweeping_) holders_.Release(holder);
      sweeping_.clear();
      continue;
    }
    const uint32_t slot = sweep_slot_++;
    const SetId set = SetAt(slot);
    if (set == kEmptySet || set == clean) continue;
    if (HasEnded(set)) {
      SweepSlot(slot);
    } else {
      clean = set;
    }
  }
  return !sweeping_.empty() || !ended_.empty();
}

// ---- Telling ----

IndexStats MemoryIndex::stats() const {
  IndexStats stats;
  stats.blocks = used_slots_;
  stats.engine_keys = by_engine_.size() + links_.engines();
  stats.holder_sets = sets_.size();
  stats.holders = holders_.used();
  stats.bytes = blocks_source_.bytes() + block_pages_.list_bytes() + by_key_.directory_bytes() +
                by_engine_.directory_bytes() + SideBytes();
  stats.evicted = evicted_;
  return stats;
}

void MemoryIndex::Check() const {
  by_key_.Check();
  by_engine_.Check();
  sets_.Check();
  uint64_t used = 0, named = 0, refs = 0;
  for (uint32_t slot = 0; slot < slots_; ++slot) {
    if (KeyAt(slot) == 0) continue;
    ++used;
    HR_CHECK(SetAt(slot) != kEmptySet && FindKey(KeyAt(slot)) == slot);
    refs += 1;
    const EngineKey engine = EngineAt(slot);
    if (engine == 0) continue;
    ++named;
    HR_CHECK(FindEngine(engine, by_engine_.Hash(engine)) == slot && !links_.HasEngine(engine));
  }
  HR_CHECK(used == used_slots_ && used == by_key_.size() && named == by_engine_.size());
  uint64_t free = 0;
  for (uint32_t slot = free_slot_; slot != 0; slot = static_cast<uint32_t>(EngineAt(slot - 1))) {
    HR_CHECK(KeyAt(slot - 1) == 0);
    ++free;
  }
  HR_CHECK(used + free == slots_ && refs >= sets_.size());
  HR_CHECK(max_bytes_ == 0 || stats().bytes <= max_bytes_);
}

}  // namespace headrace::indexer
