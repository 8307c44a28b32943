// What metrics show that are made up: values that stand in for those of real requests. Plain
// values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace headrace::sim {

struct GaugeValues {
  double running = 0;         // requests
  double waiting = 0;         // requests
  double kv_cache_usage = 0;  // 0 to 1
};

struct LoraValues {
  std::string running;  // names, joined by ','
  std::string waiting;
  double timestamp = 0;  // seconds since 1970
};

enum class MetricHistogram : uint8_t {
  kTimeToFirstToken,
  kTimePerOutputToken,
  kInterTokenLatency,
  kRequestTimePerOutputToken,
  kEndToEnd,
  kQueue,
  kInference,
  kPrefill,
  kDecode,
  kPromptTokens,
  kGenerationTokens,
  kParamsMaxTokens,
  kMaxGenerationTokens,
};
inline constexpr size_t kMetricHistograms = 13;

struct MetricValues {
  GaugeValues gauges;
  std::vector<LoraValues> loras;
  // By MetricHistogram: how many values lie in each bucket. Those that are not given are 0; what is
  // beyond the last bucket counts for nothing.
  std::array<std::vector<uint64_t>, kMetricHistograms> buckets;
  // What counters begin with.
  std::map<std::string, uint64_t> request_success;  // by the reason that they ended for
  uint64_t prompt_tokens = 0;
  uint64_t generation_tokens = 0;
  uint64_t prefix_cache_hits = 0;
  uint64_t prefix_cache_queries = 0;
};

}  // namespace headrace::sim
