#include "engine/hash_index.h"

#include <bit>

namespace headrace::engine {

Result<HashIndex> HashIndex::Create(uint64_t max_entries) {
  HashIndex index;
  const uint64_t cells = std::bit_ceil(std::max<uint64_t>(max_entries, 8) * 2);
  HR_TRY(index.cells_, ZeroedArray<Cell>::Create(cells));
  index.mask_ = cells - 1;
  index.max_entries_ = max_entries;
  return index;
}

void HashIndex::Insert(uint64_t fingerprint, BlockIndex block, uint32_t mark) {
  HR_CHECK(size_ < max_entries_);
  const uint64_t key = Fold(fingerprint);
  uint64_t at = key & mask_;
  while (cells_[at].fingerprint != 0) at = (at + 1) & mask_;
  cells_[at] = {key, block, mark};
  ++size_;
}

uint64_t HashIndex::At(uint64_t fingerprint, BlockIndex block) const {
  const uint64_t key = Fold(fingerprint);
  uint64_t at = key & mask_;
  while (cells_[at].fingerprint != key || cells_[at].block != block) {
    HR_CHECK(cells_[at].fingerprint != 0);
    at = (at + 1) & mask_;
  }
  return at;
}

void HashIndex::SetMark(uint64_t fingerprint, BlockIndex block, uint32_t mark) {
  cells_[At(fingerprint, block)].mark = mark;
}

void HashIndex::Erase(uint64_t fingerprint, BlockIndex block) {
  uint64_t hole = At(fingerprint, block);
  // Every later cell of the run that may stand in the hole moves there.
  for (uint64_t at = (hole + 1) & mask_; cells_[at].fingerprint != 0; at = (at + 1) & mask_) {
    const uint64_t home = cells_[at].fingerprint & mask_;
    if (((at - home) & mask_) >= ((at - hole) & mask_)) {
      cells_[hole] = cells_[at];
      hole = at;
    }
  }
  cells_[hole] = {};
  --size_;
}

bool HashIndex::Warm() {
  constexpr uint64_t kStep = 4096 / sizeof(Cell);  // one of the machine's pages
  constexpr int kPages = 8;
  for (int i = 0; i < kPages && warmed_ <= mask_; ++i, warmed_ += kStep) {
    // A write, or the machine maps one page of zeroes for all; of what is there already.
    volatile uint64_t* word = &cells_[warmed_].fingerprint;
    *word = *word;
  }
  return warmed_ <= mask_;
}

void HashIndex::CheckCells(uint64_t expected_size) const {
  uint64_t used = 0;
  for (uint64_t at = 0; at <= mask_; ++at) {
    if (cells_[at].fingerprint == 0) continue;
    ++used;
    // No empty cell between home and place: a probe would stop there.
    for (uint64_t on = cells_[at].fingerprint & mask_; on != at; on = (on + 1) & mask_) {
      HR_CHECK(cells_[on].fingerprint != 0);
    }
  }
  HR_CHECK(used == size_ && size_ == expected_size);
}

}  // namespace headrace::engine
