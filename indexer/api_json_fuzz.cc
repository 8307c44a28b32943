#include "indexer/api_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace indexer = headrace::indexer;
  if (size == 0) return 0;
  const auto dialect = static_cast<indexer::Dialect>(data[0] % 4);
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  const indexer::ApiLimits limits{.max_tokens = 64, .max_pods = 4};
  indexer::ApiError error;
  if (data[0] >= 128) {
    const auto source = indexer::ParsePodCall(body, "a", &error);
    HR_CHECK(source ? !source->endpoint.empty() : !error.message.empty());
    return 0;
  }
  const auto call = indexer::ParseScoreCall(body, dialect, limits, &error);
  if (!call) {
    HR_CHECK(!error.message.empty());
    HR_CHECK(!indexer::ErrorBody(error).empty());
    return 0;
  }
  HR_CHECK(!call->model.empty());
  HR_CHECK(call->tokens.size() <= limits.max_tokens && call->pods.size() <= limits.max_pods);
  HR_CHECK(call->ttl > headrace::Duration{} && call->ttl <= headrace::seconds(600));
  HR_CHECK(call->pod.empty() == (dialect != indexer::Dialect::kAnnounce));
  HR_CHECK(call->filter == !call->pods.empty());
  return 0;
}
