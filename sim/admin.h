// The configuration as GET /admin/config tells it, and what POST changes of it while requests run.
// Any thread, on values of its own.
#pragma once

#include <string>
#include <string_view>

#include "sim/api_error.h"
#include "sim/config.h"

namespace headrace::sim {

// The whole configuration as a JSON object; keys are flags, durations are as Go writes them.
std::string AdminConfigBody(const Config& config);

// `config` with what the body names: failure-*, fake-metrics (what it names of them), latencies,
// latency-calculator, time-factor-under-load, image-*. 400 names the key; nothing is half done.
// `fake-metrics` only when there were some at the start.
ApiResult<Config> UpdateConfig(const Config& config, std::string_view body);

// The body of POST /fake_metrics: what is in "fake-metrics" of the above.
ApiResult<Config> UpdateFakeMetricsOf(const Config& config, std::string_view body);

}  // namespace headrace::sim
