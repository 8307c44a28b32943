// What the router expects: a request went to a pod, so the pod will soon hold the prompt's blocks.
// Speculative copies that end when the pod's own event confirms them, or when their time is over.
// The index's thread.
#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "indexer/pod_table.h"

namespace headrace::indexer {

class PodIntents {
 public:
  static constexpr Duration kMaxTtl = seconds(600);

  // `max_keys` of all pods together.
  PodIntents(Index* index, PodTable* pods, size_t max_keys);

  // The pod counts as a holder of these keys in `tier` until `now + ttl`; a later call prolongs.
  // kLimit: there are too many, and nothing was added; kGone: no such pod.
  Status Add(PodId pod, uint8_t tier, std::span<const RequestKey> keys, Time now, Duration ttl);
  // The pod (a member counts as its pod) told of these keys itself.
  void Confirm(PodId pod, std::span<const RequestKey> keys);
  void Expire(Time now);

  size_t size() const { return size_; }
  uint64_t expired() const { return expired_; }

 private:
  struct Intents {
    uint32_t epoch = 0;
    uint8_t tier = 0;
    std::unordered_map<RequestKey, Time> until;
  };
  struct Due {
    Time when;
    PodId pod;
    RequestKey key;
    bool operator>(const Due& other) const { return when > other.when; }
  };

  // The pod's intents, without those of an epoch that is over.
  Intents* Current(PodId pod);
  void End(PodId pod, const Intents& intents, RequestKey key);

  Index* const index_;
  PodTable* const pods_;
  const size_t max_keys_;
  std::unordered_map<PodId, Intents> intents_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  size_t size_ = 0;
  uint64_t expired_ = 0;
};

}  // namespace headrace::indexer
