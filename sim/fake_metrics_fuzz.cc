// What is taken as fake metrics is written and read back as the same.
#include <nlohmann/json.hpp>

#include "sim/fake_metrics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  headrace::sim::FakeMetrics metrics;
  if (!headrace::sim::ParseFakeMetrics(text, 1024, &metrics).empty()) return 0;
  const nlohmann::json json = FakeMetricsJson(metrics);
  headrace::sim::FakeMetrics back;
  HR_CHECK(UpdateFakeMetrics(json, 1024, &back).empty());
  HR_CHECK(FakeMetricsJson(back) == json);
  HR_CHECK(metrics.running_requests.At(headrace::Duration(1234567891)) >= 0);
  HR_CHECK(metrics.kv_cache_usage.At(headrace::seconds(7)) <= 1);
  return 0;
}
