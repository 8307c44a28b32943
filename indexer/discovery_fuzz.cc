// Answers of APIs and files of pods: each is read or refused, never more than is allowed.
#include <cstdint>
#include <string>

#include "indexer/discovery.h"
#include "indexer/subscriber_topic.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace::indexer;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string message;
  const auto sources = ParseEventSources(text, "10.0.0.1:8000");
  if (sources) HR_CHECK(sources->size() <= kMaxEventSources);
  const auto pods = ParsePodsFile(text, &message);
  HR_CHECK(pods.has_value() || !message.empty());
  const auto topic = ParseEventTopic(text);
  if (topic) HR_CHECK(!topic->pod.empty() && topic->pod.find('@') == std::string_view::npos);
  return 0;
}
