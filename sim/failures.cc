#include "sim/failures.h"

#include <fmt/format.h>

#include <array>

#include "base/bytes.h"

namespace headrace::sim {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"rate_limit",      "invalid_api_key",
                                                    "context_length",  "server_error",
                                                    "invalid_request", "model_not_found"};

// Clients tell failures by words of these messages, as they do with those of the real services.
ApiError Make(FailureType type, std::string_view model) {
  switch (type) {
    case FailureType::kRateLimit:
      return {429, fmt::format("Rate limit reached for {} on requests per min (RPM). Please try "
                               "again later.",
                               model)};
    case FailureType::kInvalidApiKey:
      return {401, "Incorrect API key provided."};
    case FailureType::kContextLength:
      return {400,
              "This model's maximum context length is exceeded: your messages resulted in more "
              "tokens than it has room for. Please reduce the length of the messages.",
              "messages"};
    case FailureType::kServerError:
      return {503, "The server is overloaded or not ready yet. Please try again later."};
    case FailureType::kInvalidRequest:
      return {400, "Invalid request: the parameter 'model' is missing or cannot be used.", "model"};
    case FailureType::kModelNotFound:
      return {404, fmt::format("The model '{}-nonexistent' does not exist.", model), "model"};
  }
  return {};
}

std::string HeaderMessage(int status) {
  return fmt::format("The request asked for status {} by its header X-Return-Error.", status);
}

}  // namespace

std::optional<FailureType> ParseFailureType(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<FailureType>(i);
  }
  return std::nullopt;
}

std::string_view FailureTypeName(FailureType type) {
  const auto index = static_cast<size_t>(type);
  HR_CHECK(index < kNames.size());
  return kNames[index];
}

std::string FailureTypeNames() {
  std::string names;
  for (std::string_view name : kNames) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

Failures::Failures(const FailureOptions& options, uint64_t seed)
    : options_(options), random_(seed) {
  HR_CHECK(options.rate <= 100);
}

void Failures::Set(const FailureOptions& options) {
  HR_CHECK(options.rate <= 100);
  options_ = options;
}

std::optional<ApiError> Failures::Next(std::string_view model) {
  if (options_.rate == 0 || !random_.Chance(options_.rate, 100)) return std::nullopt;
  if (options_.types.empty()) {
    return Make(static_cast<FailureType>(random_.Below(kNames.size())), model);
  }
  return Make(options_.types[random_.Below(options_.types.size())], model);
}

std::optional<ApiError> Failures::OfHeader(std::string_view value) {
  const auto status = ParseNumber(value);
  if (!status || *status < 400 || *status > 599) return std::nullopt;
  return ApiError{static_cast<int>(*status), HeaderMessage(static_cast<int>(*status))};
}

}  // namespace headrace::sim
