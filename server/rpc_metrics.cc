#include "server/rpc_metrics.h"

namespace headrace::server {
namespace {

constexpr const char* kTypeNames[] = {"unknown", "hello",       "register", "unregister", "query",
                                      "save",    "load",        "release",  "clear",      "cancel",
                                      "ping",    "drop_handle", "purge",    "status"};
constexpr size_t kNumTypeNames = sizeof(kTypeNames) / sizeof(kTypeNames[0]);
static_assert(kNumTypeNames == static_cast<size_t>(wire::MessageType::kStatus) + 1);

size_t IndexOf(wire::MessageType type) {
  const auto index = static_cast<size_t>(type);
  return index < kNumTypeNames ? index : 0;
}

}  // namespace

const char* MessageTypeName(wire::MessageType type) {
  return kTypeNames[IndexOf(type)];
}

RpcMetrics::RpcMetrics(Metrics* metrics) : metrics_(metrics) {
  // A query takes microseconds, a save milliseconds to seconds.
  const std::vector<double> bounds = {2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3,
                                      5e-3, 1e-2, 2e-2, 5e-2, 0.1,  0.5,  1,    5,    30};
  for (size_t i = 0; i < kTypes; ++i) {
    latency_[i] = metrics_->GetHistogram("headrace_request_seconds",
                                         "From a request's arrival to its queued reply", bounds,
                                         {{"type", kTypeNames[i]}});
  }
}

void RpcMetrics::Answered(wire::MessageType type, Errc code) {
  const size_t row = IndexOf(type);
  const auto column = static_cast<size_t>(code);
  HR_CHECK(column < kCodes);
  Counter*& counter = answered_[row][column];
  if (counter == nullptr) {
    counter = metrics_->GetCounter("headrace_requests_total", "Requests answered, by result",
                                   {{"type", kTypeNames[row]}, {"code", ErrcName(code)}});
  }
  counter->Add(1);
}

void RpcMetrics::Took(wire::MessageType type, Duration duration) {
  latency_[IndexOf(type)]->Observe(std::chrono::duration<double>(duration).count());
}

}  // namespace headrace::server
