// Records of blocks, by key and by family. A key is (namespace, generation, hash); a family is the
// tree of parents and children that a namespace's sequences form.
//
// What a record is at a time:
//   ghost    no part; stands for a parent that was named but not saved (yet)
//   hidden   some parts, but not complete, or its parent is not visible
//   visible  complete, and at depth 0 or below a visible parent: a query finds it
//   zombie   removed: in no index and no family; waits until no copy or load needs its slots
// Fixed capacity, nothing is allocated after Create. The core's thread.
#pragma once

#include <cstdint>

#include "engine/hash_index.h"
#include "engine/slab.h"
#include "engine/types.h"
#include "engine/zeroed_array.h"

namespace headrace::engine {

enum BlockFlags : uint16_t {
  kInUse = 1,
  kVisible = 2,
  kZombie = 4,
  kHidden = 8,        // in the list of hidden blocks
  kRevealing = 16,    // in the list of blocks whose children wait to be looked at
  kReaping = 32,      // in the list of blocks that may be needed no more
  kHasOrigin = 64,    // BlockCache keeps lora, salt and tokens for its event
  kKnownPlace = 128,  // its parent is known: linked, or depth 0. A ghost may lack it
  kToldGone = 256,    // cleared and still visible here, but listeners heard that it is gone
};

struct alignas(64) Block {
  // First line: what a query reads.
  uint8_t hash[32];
  uint64_t chain_sum;  // of the whole chain up to here; set when visible
  NamespaceId name_space;
  uint32_t generation;
  uint32_t depth;
  BlockIndex parent;
  BlockIndex first_child;
  uint16_t flags;
  uint8_t hash_bytes;
  uint8_t reserved;
  // Second line.
  BlockIndex next_sibling, prev_sibling;  // next_sibling: next free record
  SlotIndex first_slot;                   // parts, in a chain through their slot records
  uint32_t pins;         // parts being filled or read, positions of running saves and loads
  uint32_t first_lease;  // leases that end here
  ClassMask classes;     // size classes of the parts
  int64_t last_access;   // nanoseconds; while hidden: since when
  BlockIndex line_prev, line_next;  // hidden: in the list of those; visible: in that of blocks
                                    // whose children wait to be looked at
  BlockIndex reap_prev, reap_next;  // in the list of blocks that may be needed no more
  uint16_t full_complete;           // complete parts of full-attention groups
  uint16_t complete;                // complete parts

  bool is(uint16_t flag) const { return (flags & flag) != 0; }
  bool visible() const { return is(kVisible); }
  bool ghost() const { return first_slot == kNone && !is(kZombie); }
  // Nobody needs it and nothing follows it: what an eviction policy chooses from.
  bool evictable() const {
    return (flags & (kInUse | kVisible | kZombie)) == (kInUse | kVisible) && first_child == kNone &&
           pins == 0 && first_lease == kNone;
  }
  BlockHash Hash() const { return BlockHash::Of({hash, hash_bytes}); }
  bool HasHash(const BlockHash& other) const {
    return hash_bytes == other.size && std::memcmp(hash, other.bytes.data(), sizeof(hash)) == 0;
  }
};
static_assert(sizeof(Block) == 128);

// A list of blocks through two of their members: no allocation, removal in O(1).
template <BlockIndex Block::* kPrev, BlockIndex Block::* kNext>
class BlockList {
 public:
  BlockIndex front() const { return head_; }
  bool empty() const { return head_ == kNone; }

  template <typename Table>
  void PushBack(Table* table, BlockIndex index) {
    Block& block = (*table)[index];
    block.*kPrev = tail_;
    block.*kNext = kNone;
    (tail_ == kNone ? head_ : (*table)[tail_].*kNext) = index;
    tail_ = index;
  }
  template <typename Table>
  void Erase(Table* table, BlockIndex index) {
    Block& block = (*table)[index];
    HR_CHECK(block.*kPrev != kNone || head_ == index);
    (block.*kPrev == kNone ? head_ : (*table)[block.*kPrev].*kNext) = block.*kNext;
    (block.*kNext == kNone ? tail_ : (*table)[block.*kNext].*kPrev) = block.*kPrev;
    block.*kPrev = block.*kNext = kNone;
  }

 private:
  BlockIndex head_ = kNone;
  BlockIndex tail_ = kNone;
};

struct BlockKey {
  NamespaceId name_space = 0;
  uint32_t generation = 0;
  BlockHash hash;
};

class BlockTable {
 public:
  static Result<BlockTable> Create(uint64_t max_blocks, uint64_t seed);

  Block& operator[](BlockIndex index) { return blocks_[index]; }
  const Block& operator[](BlockIndex index) const { return blocks_[index]; }
  uint64_t size() const { return size_; }
  uint64_t capacity() const { return blocks_.size(); }
  bool full() const { return size_ == capacity(); }
  BlockIndex touched() const { return touched_; }  // records [0, touched()) were used at least once

  BlockIndex Find(const BlockKey& key) const;
  // The block if it is visible at this depth, else kNone; mostly without reading its record.
  BlockIndex FindVisible(const BlockKey& key, uint32_t depth) const;

  // A ghost without family. REQUIRES: not full, key not in.
  BlockIndex Add(const BlockKey& key, uint32_t depth);
  // Out of the index; the record stays. REQUIRES: in the index.
  void Unindex(BlockIndex block);
  // The record is free again. REQUIRES: unindexed, no parent, child, slot, pin or lease.
  void Free(BlockIndex block);
  // The index learns that the block's visibility changed.
  void MarkVisible(BlockIndex block, bool visible);

  void Link(BlockIndex child, BlockIndex parent);
  void Unlink(BlockIndex child);

  // Brings what Find(key) will read into the caches, in two steps some work apart.
  void PrefetchCell(const BlockKey& key) const { index_.Prefetch(Fingerprint(key)); }
  void PrefetchBlock(const BlockKey& key) const;
  bool WarmIndex() { return index_.Warm(); }

  BlockKey KeyOf(BlockIndex block) const;
  void CheckIndex(uint64_t indexed) const { index_.CheckCells(indexed); }

 private:
  uint64_t Fingerprint(const BlockKey& key) const;
  bool Matches(const Block& block, const BlockKey& key) const {
    return block.name_space == key.name_space && block.generation == key.generation &&
           block.HasHash(key.hash);
  }

  ZeroedArray<Block> blocks_;
  HashIndex index_;
  uint64_t seed_ = 0;
  uint64_t size_ = 0;
  BlockIndex touched_ = 0;
  BlockIndex free_ = kNone;
};

}  // namespace headrace::engine
