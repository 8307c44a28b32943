// The reply of POST /v1/responses: one object, or the named events that the clients of OpenAI read,
// numbered from 0, without the [DONE] of the other endpoints. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sim/reply_format.h"

namespace headrace::sim {

// What a reply says again of its request. Texts of JSON as they are written into it.
struct ResponsesEcho {
  std::string instructions = "null";
  std::string metadata = "null";
  std::string previous_response_id = "null";
  std::string tools = "[]";
  std::string tool_choice = "\"auto\"";
  bool parallel_tool_calls = true;
  double temperature = 1.0;
  double top_p = 1.0;
  std::optional<int64_t> max_output_tokens;
  std::optional<uint32_t> logprobs;  // alternatives a token; absent: none are told
};

// One choice.
std::unique_ptr<ReplyFormat> MakeResponsesFormat(const ReplyHead& head, const ResponsesEcho& echo);

}  // namespace headrace::sim
