// The index's numbers at one moment: taken on its thread, read by metrics and people. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "indexer/fleet_index.h"
#include "indexer/model_texts.h"
#include "indexer/subscriber.h"

namespace headrace::indexer {

struct PodNumbers {
  std::string name;
  PodState state = PodState::kLive;
  PodCounters counters;
  FollowCounters streams;  // of the publishers that tell of it
};

// Of an index that others share.
struct RemoteNumbers {
  RemoteStats stats;
  bool available = false;
  std::string trouble;       // why it is not
  uint64_t pods_behind = 0;  // that are told again
};

struct IndexNumbers {
  Time taken;
  IndexStats index;
  ScoreCounters scores;
  std::vector<PodNumbers> pods;
  Subscriber::Counters sources;  // of all publishers that are followed now
  uint64_t followed = 0;         // publishers
  uint64_t unfollowed = 0;       // that could not be followed
  std::vector<ModelTexts::ModelStats> texts;
  uint64_t waiting_events = 0;  // for what they name
  uint64_t waiting_bytes = 0;
  uint64_t speculative = 0;
  uint64_t late_batches = 0;
  uint64_t pods_at_odds = 0;
  uint64_t pods_refused = 0;
  uint64_t requests_waiting = 0;
  uint64_t requests_refused = 0;
  uint64_t requests_moved = 0;  // another replica has the prompt
  uint64_t foreign_blocks = 0;  // that were told of, and other replicas keep
  std::optional<RemoteNumbers> remote;
};

// All but what belongs to publishers, texts and requests. The streams are by pod.
using StreamNumbers = std::unordered_map<PodId, FollowCounters>;
IndexNumbers NumbersOf(FleetIndex* fleet, const StreamNumbers& streams, Time now);
// GET /v1/index/stats
std::string StatsBody(const IndexNumbers& numbers);

}  // namespace headrace::indexer
