// What one of several index replicas keeps of the chains that events tell of: its own, and the
// stems of all. Every replica hears every event; this tells which blocks are for others, and
// remembers their engine keys, so that what goes on from them is not taken for an orphan. Bounded:
// a stem that was forgotten costs the memory of blocks that others keep too, a foreign block that
// was forgotten lets its children wait in vain, and neither costs an answer. The index's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "indexer/index.h"
#include "indexer/shard.h"

namespace headrace::indexer {

class ShardShare {
 public:
  struct Limits {
    // Powers of two; each is taken with the first use.
    size_t stems = 1u << 20;    // 16 bytes each
    size_t foreign = 1u << 22;  // 8 bytes each
  };
  // `map` outlives it; it is not whole(), and `self` is a position in its list.
  ShardShare(const ShardMap* map, size_t self, const Limits& limits);

  // How many of these blocks, which stand behind `parent` (null: at the root), are kept here, from
  // the first one on. REQUIRES: a parent is a block that is kept here.
  size_t Keep(const RequestKey* parent, std::span<const RequestKey> keys);

  void AddForeign(EngineKey engine);
  bool IsForeign(EngineKey engine) const;

  uint64_t foreign_blocks() const { return foreign_blocks_; }  // told of, and not kept

 private:
  struct Stem {
    RequestKey key = 0;
    uint32_t position = 0;
  };

  const ShardMap* const map_;
  const size_t self_;
  const Limits limits_;
  std::vector<Stem> stems_;         // a slot for each key's low bits
  std::vector<EngineKey> foreign_;  // the same
  uint64_t foreign_blocks_ = 0;
};

}  // namespace headrace::indexer
