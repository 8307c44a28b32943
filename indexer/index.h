// Who holds which block. Maps request keys (computed from tokens by one algorithm for the whole
// fleet) and engine keys (what an engine calls the same block) to sets of holders. docs/index.md
// tells how the memory is laid out.
// A back end behind this interface: memory, memory with a byte budget. One thread owns an index.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace headrace::indexer {

using RequestKey = uint64_t;  // 0 is no key
// An engine's hash, low 64 bits, mixed with its namespace: equal hashes of two models differ.
using EngineKey = uint64_t;

// A pod, or one data-parallel rank of it: small numbers, given and taken by PodTable.
using PodId = uint32_t;
inline constexpr PodId kNoPod = std::numeric_limits<PodId>::max();
// One kind of copy that a pod may hold: (pod, life of the pod, tier, KV group, speculative).
using HolderId = uint32_t;
inline constexpr HolderId kNoHolder = std::numeric_limits<HolderId>::max();

struct HolderInfo {
  PodId pod = kNoPod;
  uint8_t tier = 0;          // of TierTable
  int16_t group = -1;        // KV group, -1: the model has one
  bool speculative = false;  // announced by the router, not by the pod
};

struct IndexStats {
  uint64_t blocks = 0;  // request keys that somebody holds, or held a moment ago
  uint64_t engine_keys = 0;
  uint64_t holder_sets = 0;  // different ones
  uint64_t holders = 0;      // ids in use
  uint64_t bytes = 0;        // all that the index took from the machine
  uint64_t evicted = 0;      // blocks that left for the byte budget
};

class Index {
 public:
  virtual ~Index() = default;

  // A holder's number; the same one for the same info until EndHolder.
  virtual HolderId AddHolder(const HolderInfo& info) = 0;
  // Nothing is held by it any more, at once and in O(1); memory comes back by Sweep. Its number is
  // not given again before that.
  virtual void EndHolder(HolderId holder) = 0;
  virtual const HolderInfo& holder(HolderId holder) const = 0;

  // These are about to be resolved or added: an index in memory asks for what it will read then.
  virtual void Expect(std::span<const EngineKey>) const {}
  // `holder` holds these blocks. `engine` is empty (speculative entries) or names them: of n
  // engine keys and m request keys, engine key i covers the request keys j with
  // i*max(n,m)/n .. as llm-d's: position k of max(n,m) joins engine[k*n/max] and keys[k*m/max].
  // A copy that is there already is counted: it takes as many removals.
  virtual void Add(HolderId holder, std::span<const EngineKey> engine,
                   std::span<const RequestKey> keys) = 0;
  // One copy less of what each engine key names; keys that are not known are ignored. Returns how
  // many copies there were to take.
  virtual size_t Remove(HolderId holder, std::span<const EngineKey> engine) = 0;
  virtual size_t RemoveKeys(HolderId holder, std::span<const RequestKey> keys) = 0;

  // All request keys that an engine key names, first position first; empty when it is not known.
  virtual std::span<const RequestKey> Resolve(EngineKey engine) const = 0;

  // Does some of the work that EndHolder left; false when there is none.
  virtual bool Sweep(size_t steps) = 0;
  virtual IndexStats stats() const = 0;

  // The holders of one block, for people and tests, in no order.
  virtual std::vector<HolderId> Holders(RequestKey key) const = 0;
  // Every block, for dumps: `visit(key, engine key or 0, holders)`, from `cursor` on, at most
  // `most`. Returns where to go on, or 0.
  virtual uint64_t Visit(
      uint64_t cursor, size_t most,
      const std::function<void(RequestKey, EngineKey, std::span<const HolderId>)>& visit) const = 0;
};

}  // namespace headrace::indexer
