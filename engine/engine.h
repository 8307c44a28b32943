// The deterministic core: what is kept, for whom, and which bytes move. A state machine of commands
// and effects (docs/architecture.md, "The core"). It does no I/O, starts no thread, reads no clock,
// draws no random number; the same commands at the same times give the same effects.
// One thread owns it. No Apply takes longer than 100 us: long work waits in the core and goes on,
// a slice at a time, with each later Apply; while HasWork(), keep applying Tick.
// It never touches the bytes of a block; it writes slot headers through PoolMeta.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "engine/command.h"
#include "engine/effect.h"
#include "engine/limits.h"
#include "engine/pool_meta.h"
#include "engine/stats.h"

namespace headrace::engine {

class EvictionPolicy;

class Engine {
 public:
  struct Config {
    Limits limits;
    uint64_t seed = 0;  // of the hash table, so that nobody can aim at a bucket
    std::unique_ptr<EvictionPolicy> policy;  // null: leaf-only LRU
  };

  // `meta` outlives the engine and is empty (freshly formatted). Pages become usable by PageReady.
  static Result<std::unique_ptr<Engine>> Create(PoolMeta meta, Config config);
  ~Engine();

  // Appends to `effects`.
  void Apply(const Command& command, Time now, Effects* effects);

  // Work waits that a Tick would advance now.
  bool HasWork() const;
  // When a Tick is needed at the latest (a deadline of a lease, a copy, a hidden block).
  std::optional<Time> NextDeadline() const;

  const Stats& stats() const;

  // For a listener that lost events: engine/resident_walk.h. About 200 ns a record.
  BlockIndex WalkResident(BlockIndex from, uint32_t count,
                          const std::function<void(const BlockStored&)>& visit) const;

  // Aborts when an internal relation does not hold. Slow: for tests.
  void CheckInvariants() const;
  // The query's answer by walking from the root, block after block: what bisection must equal.
  uint32_t LinearHit(NamespaceId name_space, const HashList& hashes) const;

 private:
  class State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace headrace::engine
