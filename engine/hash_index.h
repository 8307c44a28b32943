// From a 64-bit fingerprint of a block's key to its record: open addressing with linear probing, a
// fixed number of cells (at most half of them in use), deletion by backward shift. Four cells share
// a cache line, so a probe costs one miss. A cell also keeps where the block stands and whether it
// is visible: a query decides on it without touching the record. One thread.
#pragma once

#include <cstdint>

#include "engine/types.h"
#include "engine/zeroed_array.h"

namespace headrace::engine {

class HashIndex {
 public:
  struct Cell {
    uint64_t fingerprint;  // 0: empty
    BlockIndex block;
    uint32_t mark;  // MarkOf(depth, visible)
  };
  static_assert(sizeof(Cell) == 16);
  static uint32_t MarkOf(uint32_t depth, bool visible) { return depth << 1 | (visible ? 1 : 0); }

  HashIndex() = default;
  static Result<HashIndex> Create(uint64_t max_entries);

  size_t size() const { return size_; }
  void Prefetch(uint64_t fingerprint) const {
    __builtin_prefetch(&cells_[Fold(fingerprint) & mask_]);
  }

  // The cell with this fingerprint for which `match(cell)` holds, or null.
  template <typename Match>
  const Cell* Find(uint64_t fingerprint, Match match) const {
    const uint64_t key = Fold(fingerprint);
    for (uint64_t at = key & mask_; cells_[at].fingerprint != 0; at = (at + 1) & mask_) {
      if (cells_[at].fingerprint == key && match(cells_[at])) return &cells_[at];
    }
    return nullptr;
  }

  // REQUIRES: fewer than max_entries are in; `block` is not in.
  void Insert(uint64_t fingerprint, BlockIndex block, uint32_t mark);
  // REQUIRES: `block` is in under this fingerprint.
  void SetMark(uint64_t fingerprint, BlockIndex block, uint32_t mark);
  void Erase(uint64_t fingerprint, BlockIndex block);

  // Backs a little more of the cells with memory; false when all is. A first touch costs the
  // machine a microsecond, and a slice of new blocks would pay it for every one.
  bool Warm();

  void CheckCells(uint64_t expected_size) const;

 private:
  static uint64_t Fold(uint64_t fingerprint) { return fingerprint == 0 ? 1 : fingerprint; }
  uint64_t At(uint64_t fingerprint, BlockIndex block) const;

  ZeroedArray<Cell> cells_;
  uint64_t mask_ = 0;
  uint64_t max_entries_ = 0;
  uint64_t size_ = 0;
  uint64_t warmed_ = 0;  // cells
};

}  // namespace headrace::engine
