// The body of POST /v1/messages. Pure functions; any thread.
#pragma once

#include <string_view>

#include "sim/api_error.h"
#include "sim/request.h"
#include "sim/sampling_api.h"
#include "sim/tools.h"

namespace headrace::sim {

struct MessagesRequest {
  Request request;  // with one prompt, and `stop_sequences` as what it stops at
  ToolRequest tools;
};

// 400 says what is no JSON or which field is missing or has a wrong type. The values of the tools
// and of the sampling are for CheckTools and CheckSampling, since other checks come between.
ApiResult<MessagesRequest> ParseMessages(std::string_view body, const RequestDefaults& defaults);

}  // namespace headrace::sim
