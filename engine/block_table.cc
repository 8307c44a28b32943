#include "engine/block_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace headrace::engine {

Result<BlockTable> BlockTable::Create(uint64_t max_blocks, uint64_t seed) {
  if (max_blocks >= kNone) return Fail(Errc::kLimit, "the pool holds more blocks than 32 bits");
  BlockTable table;
  HR_TRY(table.blocks_, ZeroedArray<Block>::Create(max_blocks));
  HR_TRY(table.index_, HashIndex::Create(max_blocks));
  table.seed_ = seed;
  return table;
}

uint64_t BlockTable::Fingerprint(const BlockKey& key) const {
  const uint64_t seed =
      seed_ ^ (uint64_t{key.name_space} << 32 | key.generation) * 0x9e3779b97f4a7c15ull;
  return XXH3_64bits_withSeed(key.hash.bytes.data(), key.hash.bytes.size(), seed);
}

BlockIndex BlockTable::Find(const BlockKey& key) const {
  const auto* cell = index_.Find(Fingerprint(key), [&](const HashIndex::Cell& candidate) {
    return Matches(blocks_[candidate.block], key);
  });
  return cell == nullptr ? kNone : cell->block;
}

BlockIndex BlockTable::FindVisible(const BlockKey& key, uint32_t depth) const {
  const uint32_t mark = HashIndex::MarkOf(depth, true);
  const auto* cell = index_.Find(Fingerprint(key), [&](const HashIndex::Cell& candidate) {
    return candidate.mark == mark && Matches(blocks_[candidate.block], key);
  });
  return cell == nullptr ? kNone : cell->block;
}

void BlockTable::PrefetchBlock(const BlockKey& key) const {
  (void)index_.Find(Fingerprint(key), [&](const HashIndex::Cell& candidate) {
    const Block& block = blocks_[candidate.block];
    __builtin_prefetch(&block);
    __builtin_prefetch(&block.next_sibling);
    return true;
  });
}

BlockIndex BlockTable::Add(const BlockKey& key, uint32_t depth) {
  HR_CHECK(!full());
  BlockIndex index = free_;
  if (index != kNone) {
    free_ = blocks_[index].next_sibling;
  } else {
    index = touched_++;
  }
  Block& block = blocks_[index];
  HR_CHECK(!block.is(kInUse));
  block = {};
  std::memcpy(block.hash, key.hash.bytes.data(), sizeof(block.hash));
  block.hash_bytes = key.hash.size;
  block.name_space = key.name_space;
  block.generation = key.generation;
  block.depth = depth;
  block.parent = block.first_child = block.next_sibling = block.prev_sibling = kNone;
  block.first_slot = block.first_lease = kNone;
  block.line_prev = block.line_next = block.reap_prev = block.reap_next = kNone;
  block.flags = kInUse;
  index_.Insert(Fingerprint(key), index, HashIndex::MarkOf(depth, false));
  ++size_;
  return index;
}

void BlockTable::Unindex(BlockIndex index) {
  index_.Erase(Fingerprint(KeyOf(index)), index);
}

void BlockTable::Free(BlockIndex index) {
  Block& block = blocks_[index];
  HR_CHECK(block.is(kInUse) && block.pins == 0 && block.first_lease == kNone);
  HR_CHECK(block.parent == kNone && block.first_child == kNone && block.first_slot == kNone);
  HR_CHECK((block.flags & (kHidden | kRevealing | kReaping | kHasOrigin)) == 0);
  block.flags = 0;
  block.next_sibling = free_;
  free_ = index;
  --size_;
}

void BlockTable::MarkVisible(BlockIndex index, bool visible) {
  index_.SetMark(Fingerprint(KeyOf(index)), index,
                 HashIndex::MarkOf(blocks_[index].depth, visible));
}

void BlockTable::Link(BlockIndex child, BlockIndex parent) {
  Block& c = blocks_[child];
  Block& p = blocks_[parent];
  HR_CHECK(c.parent == kNone && child != parent && p.depth < c.depth && !p.is(kZombie));
  c.parent = parent;
  c.prev_sibling = kNone;
  c.next_sibling = p.first_child;
  if (p.first_child != kNone) blocks_[p.first_child].prev_sibling = child;
  p.first_child = child;
}

void BlockTable::Unlink(BlockIndex child) {
  Block& c = blocks_[child];
  if (c.parent == kNone) return;
  Block& p = blocks_[c.parent];
  (c.prev_sibling == kNone ? p.first_child : blocks_[c.prev_sibling].next_sibling) = c.next_sibling;
  if (c.next_sibling != kNone) blocks_[c.next_sibling].prev_sibling = c.prev_sibling;
  c.parent = c.next_sibling = c.prev_sibling = kNone;
}

BlockKey BlockTable::KeyOf(BlockIndex index) const {
  const Block& block = blocks_[index];
  return {block.name_space, block.generation, block.Hash()};
}

}  // namespace headrace::engine
