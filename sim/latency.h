// How long a real engine would take. Nanoseconds throughout; samples are drawn from a normal
// distribution that is cut at 30 % below and 70 % above its mean. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"
#include "base/time.h"

namespace headrace::sim {

enum class LatencyCalculator : uint8_t {
  kAuto,  // constant when a constant is set, else by the token
  kConstant,
  kPerToken,
};

struct LatencyOptions {
  Duration time_to_first_token{}, time_to_first_token_std_dev{};
  Duration inter_token_latency{}, inter_token_latency_std_dev{};
  Duration kv_cache_transfer_latency{}, kv_cache_transfer_latency_std_dev{};
  Duration prefill_overhead{}, prefill_time_per_token{}, prefill_time_std_dev{};
  Duration kv_cache_transfer_time_per_token{}, kv_cache_transfer_time_std_dev{};
  double time_factor_under_load = 1.0;
  LatencyCalculator calculator = LatencyCalculator::kAuto;
};

struct PrefillWork {
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  bool remote = false;  // the KV comes from another engine
};

class LatencyModel {
 public:
  LatencyModel(const LatencyOptions& options, uint32_t max_running, uint64_t seed);

  // From the next sample on.
  void Set(const LatencyOptions& options) { options_ = options; }

  // `running`: requests that run, this one included.
  Duration FirstToken(const PrefillWork& work, uint32_t running);
  Duration NextToken(uint32_t running);

 private:
  double Load(uint32_t running) const;
  Duration Sample(double mean_ns, double deviation_ns);

  LatencyOptions options_;
  const uint32_t max_running_;
  Random random_;
};

}  // namespace headrace::sim
