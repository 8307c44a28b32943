// What made-up metrics show at a moment. Pure functions; any thread.
#pragma once

#include "base/time.h"
#include "sim/fake_metrics.h"
#include "sim/metric_values.h"

namespace headrace::sim {

GaugeValues FakeGaugesAt(const FakeMetrics& metrics, Duration since_start);
MetricValues FakeValuesAt(const FakeMetrics& metrics, Duration since_start);

}  // namespace headrace::sim
