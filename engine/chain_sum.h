// A 64-bit digest of a list of hashes that is the sum of one term a position, so that the digest of
// a longer list grows from that of a shorter one, and a block's from its parent's. A query compares
// the digest of the list it was given with the one stored at the block where it lands: equal means
// that the whole list, not only its end, is the chain that was saved. Pure; any thread.
#pragma once

#include <cstdint>

#include "wire/block_hash.h"

namespace headrace::engine {

class ChainSum {
 public:
  explicit ChainSum(uint64_t seed);

  // What the hash at `position` adds.
  uint64_t Term(const wire::BlockHash& hash, uint32_t position) const {
    return Term(hash.bytes.data(), position);
  }
  // `hash`: 32 bytes, zero beyond the hash's end.
  uint64_t Term(const uint8_t* hash, uint32_t position) const;

  // Terms of hashes[from, to), where hashes[0] stands at `offset` of the sequence.
  uint64_t Terms(const wire::HashList& hashes, uint32_t offset, uint32_t from, uint32_t to) const;

 private:
  struct Lanes {
    uint32_t words[4];
  };
  Lanes KeyAt(uint32_t position) const;
  uint64_t TermsOf32(const uint8_t* at, uint32_t count, uint32_t position) const;

  Lanes key_;   // at position 0
  Lanes step_;  // from one position to the next
};

}  // namespace headrace::engine
