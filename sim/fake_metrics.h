// Metrics that are made up: shown in place of the measured ones so that a test can set up any
// situation. Plain values, read from JSON; time is a parameter. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace headrace::sim {

// A number, or a function of the time since the simulator started: "ramp:0:10:5s".
struct FakeValue {
  enum class Shape : uint8_t {
    kFixed,
    kOscillate,   // a sine around the middle, from there to `end` first
    kRamp,        // from start to end in one period, then end
    kRampReset,   // the same again in every period
    kSquareWave,  // start in the first half of every period, end in the other
  };
  Shape shape = Shape::kFixed;
  double start = 0;  // of kFixed: the number
  double end = 0;
  Duration period{};

  double At(Duration since_start) const;
  std::string Spell() const;  // "ramp:0:10:5s", or the number
};

// One series of lora_requests_info.
struct FakeLora {
  std::string running, waiting;  // names, joined by commas
  double timestamp = 0;
};

// Counts of a histogram's buckets, the last being that above all bounds; what is missing at the end
// is 0.
using FakeBuckets = std::vector<uint64_t>;

struct FakeMetrics {
  FakeValue running_requests, waiting_requests;  // shown as whole numbers
  FakeValue kv_cache_usage;                      // 0 to 1
  std::vector<FakeLora> loras;

  FakeBuckets time_to_first_token, time_per_output_token;
  FakeBuckets e2e_latency, queue_time, inference_time, prefill_time, decode_time;
  FakeBuckets prompt_tokens, generation_tokens, max_tokens, max_generation_tokens;

  std::map<std::string, uint64_t> success_total;  // by finish reason
  std::optional<uint64_t> prompt_tokens_total, generation_tokens_total;
  std::optional<uint64_t> prefix_cache_hits, prefix_cache_queries;
};

// What a fake gauge shows: requests are whole.
inline double WholeAt(const FakeValue& value, Duration since_start) {
  return static_cast<double>(static_cast<int64_t>(value.At(since_start)));
}

// Sets what `json`, an object, names; keys that are null or absent stay as they are. "" or what is
// wrong, which begins with the key ("kv-cache-usage: must be..."); then nothing changed.
std::string UpdateFakeMetrics(const nlohmann::json& json, uint32_t max_model_len,
                              FakeMetrics* metrics);
// The same from text, for a new set.
std::string ParseFakeMetrics(std::string_view text, uint32_t max_model_len, FakeMetrics* metrics);

// As it would be written.
nlohmann::json FakeMetricsJson(const FakeMetrics& metrics);

}  // namespace headrace::sim
