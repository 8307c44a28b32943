// The body of POST /v1/chat/completions. Pure functions; any thread.
#pragma once

#include <string_view>

#include "sim/api_error.h"
#include "sim/request.h"
#include "sim/sampling_api.h"
#include "sim/tools.h"

namespace headrace::sim {

struct ChatRequest {
  Request request;  // with one prompt: "### role: content\n" for each message
  ToolRequest tools;
};

// 400 says what is no JSON or which field has a wrong type. The values of the tools and of the
// sampling are for CheckTools and CheckSampling, since other checks come between.
ApiResult<ChatRequest> ParseChat(std::string_view body, const RequestDefaults& defaults);

// `messages` of a chat as a prompt.
void ReadMessages(JsonValue messages, FieldReader* body, Prompt* prompt);

}  // namespace headrace::sim
