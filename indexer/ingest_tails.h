// Ends of chains inside a block: where an engine's blocks are smaller than the index's, most of
// them end in the middle of a key, and the next event goes on from there. Keeps the tokens of such
// blocks, each with the one before, so that a chain can go on (or branch) at any of them. Bounded;
// what was forgotten is never guessed. The index's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "indexer/index.h"
#include "indexer/ingest_extras.h"

namespace headrace::indexer {

// An engine's block that ends inside a key.
struct Tail {
  EngineKey before = 0;            // the tail in front of this one, or 0: it begins a key
  std::optional<RequestKey> base;  // the key in front of that; absent: the root
  std::vector<uint32_t> tokens;
  std::vector<EventExtra> extras;
};

class TailTable {
 public:
  explicit TailTable(size_t max_tails) : max_tails_(max_tails) { HR_CHECK(max_tails > 0); }

  void Put(EngineKey key, Tail tail);
  const Tail* Find(EngineKey key) const;

  size_t size() const { return tails_.size(); }
  uint64_t forgotten() const { return forgotten_; }  // for the bound

 private:
  const size_t max_tails_;
  std::unordered_map<EngineKey, Tail> tails_;
  std::deque<EngineKey> order_;  // the oldest first
  uint64_t forgotten_ = 0;
};

}  // namespace headrace::indexer
