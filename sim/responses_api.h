// The body of POST /v1/responses. Pure functions; any thread.
#pragma once

#include <string_view>

#include "sim/api_error.h"
#include "sim/request.h"
#include "sim/responses_format.h"
#include "sim/sampling_api.h"
#include "sim/tools.h"

namespace headrace::sim {

struct ResponsesRequest {
  Request request;  // with one prompt, and `max_output_tokens` as its max_tokens
  ToolRequest tools;
  ResponsesEcho echo;
};

// 400 says what is no JSON or which field has a wrong type. The values of the tools and of the
// sampling are for CheckTools and CheckSampling, since other checks come between.
ApiResult<ResponsesRequest> ParseResponses(std::string_view body, const RequestDefaults& defaults);

}  // namespace headrace::sim
