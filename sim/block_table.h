// Which slot holds the block of a hash: open addressing over slot numbers, so that a hash is kept
// once, by the slots' owner. Sized once, never grows. One thread.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "wire/block_hash.h"

namespace headrace::sim {

class BlockTable {
 public:
  using Slot = uint32_t;
  static constexpr Slot kNone = std::numeric_limits<Slot>::max();

  explicit BlockTable(uint32_t blocks)
      : places_(std::bit_ceil(size_t{2} * blocks + 1)), mask_(places_.size() - 1) {}

  // `hash_of(slot)` gives the hash of a slot that is in the table.
  template <typename HashOf>
  Slot Find(const wire::BlockHash& hash, const HashOf& hash_of) const {
    const uint32_t mark = Mark(hash);
    for (size_t at = mark & mask_; places_[at].slot != kNone; at = (at + 1) & mask_) {
      const Place& place = places_[at];
      if (place.mark == mark && hash_of(place.slot) == hash) return place.slot;
    }
    return kNone;
  }
  // REQUIRES: the hash is not there, and fewer than `blocks` are.
  void Add(const wire::BlockHash& hash, Slot slot) {
    const uint32_t mark = Mark(hash);
    size_t at = mark & mask_;
    while (places_[at].slot != kNone) at = (at + 1) & mask_;
    places_[at] = {mark, slot};
    ++count_;
    HR_DCHECK(2 * count_ <= places_.size());
  }
  // REQUIRES: the slot is there with this hash.
  void Remove(const wire::BlockHash& hash, Slot slot) {
    size_t hole = Mark(hash) & mask_;
    while (places_[hole].slot != slot) {
      HR_CHECK(places_[hole].slot != kNone);
      hole = (hole + 1) & mask_;
    }
    --count_;
    // What was pushed beyond the hole comes back to it, so that no search ends early.
    for (size_t at = (hole + 1) & mask_; places_[at].slot != kNone; at = (at + 1) & mask_) {
      const size_t wanted = places_[at].mark & mask_;
      if (((at - wanted) & mask_) < ((at - hole) & mask_)) continue;
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole] = {};
  }
  void Clear() {
    places_.assign(places_.size(), {});
    count_ = 0;
  }
  size_t size() const { return count_; }

 private:
  struct Place {
    uint32_t mark = 0;
    Slot slot = kNone;
  };
  // Short hashes may be small numbers: mixed, they spread.
  static uint32_t Mark(const wire::BlockHash& hash) {
    uint64_t words[wire::BlockHash::kMaxBytes / sizeof(uint64_t)];
    std::memcpy(words, hash.bytes.data(), sizeof(words));
    return static_cast<uint32_t>(MixBits(words[0] ^ words[1] ^ words[2] ^ words[3] ^ hash.size));
  }

  std::vector<Place> places_;
  const size_t mask_;
  size_t count_ = 0;
};

}  // namespace headrace::sim
