// How many requests of each type were answered, how, and how long it took. Loop-bound; scraped by
// any thread.
#pragma once

#include <array>
#include <cstdint>

#include "base/metrics.h"
#include "base/result.h"
#include "base/time.h"
#include "wire/control.h"

namespace headrace::server {

const char* MessageTypeName(wire::MessageType type);  // "query"; "unknown" for other numbers

class RpcMetrics {
 public:
  explicit RpcMetrics(Metrics* metrics);
  void Answered(wire::MessageType type, Errc code);
  void Took(wire::MessageType type, Duration duration);

 private:
  static constexpr size_t kTypes = static_cast<size_t>(wire::MessageType::kStatus) + 1;
  static constexpr size_t kCodes = static_cast<size_t>(Errc::kInternal) + 1;

  Metrics* const metrics_;
  std::array<Histogram*, kTypes> latency_{};
  std::array<std::array<Counter*, kCodes>, kTypes> answered_{};  // made when first needed
};

}  // namespace headrace::server
