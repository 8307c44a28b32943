// Failures on purpose: which requests fail, and how. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "sim/api_error.h"

namespace headrace::sim {

enum class FailureType : uint8_t {
  kRateLimit,
  kInvalidApiKey,
  kContextLength,
  kServerError,
  kInvalidRequest,
  kModelNotFound,
};
std::optional<FailureType> ParseFailureType(std::string_view name);  // "rate_limit", ...
std::string_view FailureTypeName(FailureType type);
std::string FailureTypeNames();  // joined by ", ", for messages

struct FailureOptions {
  uint32_t rate = 0;               // percent of requests
  std::vector<FailureType> types;  // empty: all
};

class Failures {
 public:
  Failures(const FailureOptions& options, uint64_t seed);
  void Set(const FailureOptions& options);
  // What the next request is refused with; nullopt: it is served. `model` as the request names it.
  std::optional<ApiError> Next(std::string_view model);
  // Of a header X-Return-Error: an error of this status; nullopt for what is no status of an error.
  static std::optional<ApiError> OfHeader(std::string_view value);

 private:
  FailureOptions options_;
  Random random_;
};

}  // namespace headrace::sim
