#include "sim/fake_values.h"

namespace headrace::sim {

GaugeValues FakeGaugesAt(const FakeMetrics& metrics, Duration since_start) {
  return {.running = WholeAt(metrics.running_requests, since_start),
          .waiting = WholeAt(metrics.waiting_requests, since_start),
          .kv_cache_usage = metrics.kv_cache_usage.At(since_start)};
}

MetricValues FakeValuesAt(const FakeMetrics& metrics, Duration since_start) {
  MetricValues values{.gauges = FakeGaugesAt(metrics, since_start)};
  for (const FakeLora& lora : metrics.loras) {
    values.loras.push_back(
        {.running = lora.running, .waiting = lora.waiting, .timestamp = lora.timestamp});
  }
  const auto set = [&](MetricHistogram histogram, const FakeBuckets& buckets) {
    values.buckets[static_cast<size_t>(histogram)] = buckets;
  };
  set(MetricHistogram::kTimeToFirstToken, metrics.time_to_first_token);
  set(MetricHistogram::kTimePerOutputToken, metrics.time_per_output_token);
  set(MetricHistogram::kInterTokenLatency, metrics.time_per_output_token);
  set(MetricHistogram::kEndToEnd, metrics.e2e_latency);
  set(MetricHistogram::kQueue, metrics.queue_time);
  set(MetricHistogram::kInference, metrics.inference_time);
  set(MetricHistogram::kPrefill, metrics.prefill_time);
  set(MetricHistogram::kDecode, metrics.decode_time);
  set(MetricHistogram::kPromptTokens, metrics.prompt_tokens);
  set(MetricHistogram::kGenerationTokens, metrics.generation_tokens);
  set(MetricHistogram::kParamsMaxTokens, metrics.max_tokens);
  set(MetricHistogram::kMaxGenerationTokens, metrics.max_generation_tokens);
  values.request_success = metrics.success_total;
  values.prompt_tokens = metrics.prompt_tokens_total.value_or(0);
  values.generation_tokens = metrics.generation_tokens_total.value_or(0);
  values.prefix_cache_hits = metrics.prefix_cache_hits.value_or(0);
  values.prefix_cache_queries = metrics.prefix_cache_queries.value_or(0);
  return values;
}

}  // namespace headrace::sim
