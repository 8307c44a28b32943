#include "indexer/subscriber_topic.h"

namespace headrace::indexer {

std::optional<EventTopic> ParseEventTopic(std::string_view topic) {
  constexpr std::string_view kPrefix = "kv@";
  if (!topic.starts_with(kPrefix)) return std::nullopt;
  topic.remove_prefix(kPrefix.size());
  const size_t end = topic.find('@');
  EventTopic parsed;
  parsed.pod = topic.substr(0, end);
  if (end != std::string_view::npos) parsed.model = topic.substr(end + 1);
  if (parsed.pod.empty()) return std::nullopt;
  return parsed;
}

}  // namespace headrace::indexer
