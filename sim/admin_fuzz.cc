// What is taken as an update leaves a configuration whose own text is taken again.
#include <nlohmann/json.hpp>

#include "sim/admin.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  headrace::sim::Config config;
  config.model.name = "m";
  config.fake_metrics.emplace();
  const auto next = headrace::sim::UpdateConfig(config, body);
  if (!next) {
    HR_CHECK(next.error().status == 400 && !next.error().message.empty());
    return 0;
  }
  HR_CHECK(next->failures.rate <= 100);
  HR_CHECK(!headrace::sim::CheckLatencies(next->latency));
  const auto shown = nlohmann::json::parse(headrace::sim::AdminConfigBody(*next));
  nlohmann::json again = {{"fake-metrics", shown["fake-metrics"]},
                          {"failure-types", shown["failure-types"]},
                          {"time-to-first-token", shown["time-to-first-token"]},
                          {"inter-token-latency", shown["inter-token-latency"]}};
  HR_CHECK(headrace::sim::UpdateConfig(*next, again.dump()).has_value());
  return 0;
}
