// What an engine says of itself, and how it is put to sleep. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/api_error.h"

namespace headrace::sim {

// GET /is_sleeping.
std::string IsSleepingBody(bool sleeping);

// POST /sleep?level=1&mode=abort. The query is what stands behind the "?".
struct SleepCall {
  uint32_t level = 1;  // 0 to 2
  std::string mode = "abort";
};
ApiResult<SleepCall> ParseSleep(std::string_view query);

// POST /wake_up?tags=weights&tags=kv_cache; no tags: all that sleeps.
struct WakeUpCall {
  std::vector<std::string> tags;
  bool wakes_kv_cache() const;
};
WakeUpCall ParseWakeUp(std::string_view query);

// GET /query of Mooncake's bootstrap server: the one who prefills at each data-parallel rank.
struct MooncakeRank {
  uint32_t rank = 0;
  std::string engine_id;
};
std::string MooncakeQueryBody(std::span<const MooncakeRank> ranks);

// GET /kv_event_sources: the publisher of each data-parallel rank.
struct KvEventSource {
  uint32_t rank = 0;
  std::string endpoint;         // "": events are off
  std::string replay_endpoint;  // "": none
  std::string topic;
  uint32_t buffer_steps = 10000;  // batches that can be replayed
};
std::string KvEventSourcesBody(std::span<const KvEventSource> sources);

}  // namespace headrace::sim
