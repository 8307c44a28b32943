// The reply of POST /inference/v1/generate, tokens in and tokens out: one object, or a frame a
// token whose last one has the reason of the end, and [DONE]. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sim/reply_format.h"

namespace headrace::sim {

struct GenerateEcho {
  std::string request_id;  // as the request names itself; "": the reply takes the head's
  uint32_t choices = 1;
  bool include_usage = false;  // of a stream: a last frame with the usage
  bool text = false;           // the text is told beside the tokens
  std::optional<uint32_t> logprobs;
};

std::unique_ptr<ReplyFormat> MakeGenerateFormat(const ReplyHead& head, const GenerateEcho& echo);

}  // namespace headrace::sim
