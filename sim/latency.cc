#include "sim/latency.h"

#include <algorithm>
#include <cmath>

#include "sim/normal.h"

namespace headrace::sim {

namespace {

constexpr double kLowestShare = 0.3;  // of its mean: no sample is below
constexpr double kHighestShare = 1.7;
// A year: sums of deadlines stay far from the end of the clock, whatever the options say.
constexpr double kLongestNs = 365.0 * 24 * 3600 * 1e9;

double Nanoseconds(Duration duration) {
  return static_cast<double>(duration.count());
}

bool IsConstant(LatencyCalculator calculator, Duration mean, Duration deviation) {
  if (calculator != LatencyCalculator::kAuto) return calculator == LatencyCalculator::kConstant;
  return mean != Duration::zero() || deviation != Duration::zero();
}

}  // namespace

LatencyModel::LatencyModel(const LatencyOptions& options, uint32_t max_running, uint64_t seed)
    : options_(options), max_running_(max_running), random_(seed) {}

Duration LatencyModel::FirstToken(const PrefillWork& work, uint32_t running) {
  const LatencyOptions& set = options_;
  const auto prompt = static_cast<double>(work.prompt_tokens);
  if (work.remote) {
    if (IsConstant(set.calculator, set.kv_cache_transfer_latency,
                   set.kv_cache_transfer_latency_std_dev)) {
      return Sample(Nanoseconds(set.kv_cache_transfer_latency),
                    Nanoseconds(set.kv_cache_transfer_latency_std_dev));
    }
    return Sample(prompt * Nanoseconds(set.kv_cache_transfer_time_per_token),
                  Nanoseconds(set.kv_cache_transfer_time_std_dev));
  }
  if (IsConstant(set.calculator, set.time_to_first_token, set.time_to_first_token_std_dev)) {
    return Sample(Nanoseconds(set.time_to_first_token) * Load(running),
                  Nanoseconds(set.time_to_first_token_std_dev));
  }
  const double computed =
      prompt - static_cast<double>(std::min(work.cached_tokens, work.prompt_tokens));
  const double prefill =
      Nanoseconds(set.prefill_overhead) + computed * Nanoseconds(set.prefill_time_per_token);
  return Sample(prefill * Load(running), Nanoseconds(set.prefill_time_std_dev));
}

Duration LatencyModel::NextToken(uint32_t running) {
  return Sample(Nanoseconds(options_.inter_token_latency) * Load(running),
                Nanoseconds(options_.inter_token_latency_std_dev));
}

double LatencyModel::Load(uint32_t running) const {
  if (max_running_ <= 1 || running <= 1) return 1;
  return 1 + (options_.time_factor_under_load - 1) * (running - 1) / (max_running_ - 1);
}

Duration LatencyModel::Sample(double mean_ns, double deviation_ns) {
  double sample = mean_ns;
  if (deviation_ns > 0) {
    sample = std::clamp(Normal(&random_, mean_ns, deviation_ns), kLowestShare * mean_ns,
                        kHighestShare * mean_ns);
  }
  return Duration(std::llround(std::clamp(sample, 0.0, kLongestNs)));
}

}  // namespace headrace::sim
