// Stores that came before what they build on: events whose parent nobody has taught yet, and hashes
// without tokens that no engine has explained yet. They wait for the engine key that they lack and
// go on in the order in which they came, or they leave: for the bounds, for their age, or because
// their pod's epoch is over. Loop-bound to the index's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "indexer/index.h"
#include "indexer/ingest_extras.h"
#include "wire/hash.h"

namespace headrace::indexer {

struct PendingLimits {
  size_t max_waiters = 1u << 18;
  size_t max_bytes = 64u << 20;
  Duration max_age = seconds(600);
};

// The tokens of a store, and what they need to become keys.
struct WaitingTokens {
  const wire::BlockHasher* hasher = nullptr;
  uint32_t engine_tokens = 0;
  std::vector<uint32_t> tokens;
  std::vector<std::vector<EventExtra>> extras;
};

// A store that waits.
struct Waiter {
  PodId member = kNoPod;
  uint32_t epoch = 0;  // of the member, when it came
  uint8_t tier = 0;
  int16_t group = -1;
  EngineKey parent = 0;            // of a store with tokens: what it waits for
  std::vector<EngineKey> engine;   // its own blocks; of a hash without tokens: the one waited for
  std::vector<EngineKey> removed;  // of these, those that were removed meanwhile
  std::unique_ptr<WaitingTokens> tokens;  // null: hashes alone
};

class PendingSet {
 public:
  explicit PendingSet(const PendingLimits& limits);

  // Returns how many others had to leave for it, the oldest first; their pods come in `left`.
  // REQUIRES: with tokens a parent, without them one engine key.
  void Add(Waiter waiter, Time now, std::vector<PodId>* left);
  // All that wait for `key`, in the order in which they came.
  void Take(EngineKey key, std::vector<Waiter>* out);
  // A removal that overtook its store: marks one copy of `engine` in the oldest such waiter that
  // has one left. False: there is none.
  bool Remove(const Waiter& like, EngineKey engine);
  // Those that wait for longer than max_age leave.
  void Age(Time now, std::vector<PodId>* left);

  bool empty() const { return waiters_.empty(); }
  size_t size() const { return waiters_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    Waiter waiter;
    Time since;
    size_t bytes = 0;
  };
  using Number = uint64_t;

  static EngineKey KeyOf(const Waiter& waiter);
  static size_t BytesOf(const Waiter& waiter);
  Waiter Erase(Number number);
  void Forget(std::unordered_map<EngineKey, std::vector<Number>>* map, EngineKey key,
              Number number);
  void DropOldest(std::vector<PodId>* left);

  const PendingLimits limits_;
  std::unordered_map<Number, Entry> waiters_;
  std::unordered_map<EngineKey, std::vector<Number>> by_key_;    // what they wait for
  std::unordered_map<EngineKey, std::vector<Number>> by_block_;  // stores with tokens: their blocks
  std::deque<Number> order_;  // the oldest first; numbers that left stay until they come up
  Number next_ = 1;
  size_t bytes_ = 0;
};

}  // namespace headrace::indexer
