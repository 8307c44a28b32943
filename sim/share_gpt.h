// Conversations in the form of ShareGPT's data sets. Any thread.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::sim {

inline constexpr size_t kMaxTurns = 10000;  // a conversation; one with more is passed over

struct ChatTurn {
  std::string role;  // "system", "user" or "assistant"
  std::string text;
};

struct ConversationSink {
  std::function<bool(const std::vector<ChatTurn>&)> take;  // false: no more are wanted
  std::function<void()> skip;  // for each that is no list of turns of these roles
};

// A list of {"conversations":[{"from":"human","value":"..."}, ...]}, and so that a file may be
// larger than memory, one conversation at a time. "role" and "content" will do for "from" and
// "value". `message` says where it is no JSON.
Status ParseShareGpt(std::string_view json, const ConversationSink& sink, std::string* message);
Status ParseShareGpt(std::FILE* json, const ConversationSink& sink, std::string* message);

}  // namespace headrace::sim
