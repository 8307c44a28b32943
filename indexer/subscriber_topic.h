// Topics of events: kv@<pod>@<model>. Pure functions; any thread.
#pragma once

#include <optional>
#include <string_view>

namespace headrace::indexer {

struct EventTopic {
  std::string_view pod;
  std::string_view model;  // "" when the topic names none
};

// A pod has no @ in it ("10.0.0.1:8000"); a model may ("org/name@revision"): what stands behind the
// second @ is the model. "kv@pod" names no model. nullopt: it names no pod.
std::optional<EventTopic> ParseEventTopic(std::string_view topic);

}  // namespace headrace::indexer
