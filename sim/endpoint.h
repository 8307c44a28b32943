// An endpoint that generates: how its body is read, and how its answer is written.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sim/api_error.h"
#include "sim/reply_format.h"
#include "sim/request.h"
#include "sim/sampling_api.h"
#include "sim/tools.h"

namespace headrace::sim {

struct GenerateBody {
  Request request;
  ToolRequest tools;
  // Of the endpoint's answer; `request` is the one above.
  std::function<std::unique_ptr<ReplyFormat>(const Request& request, ReplyHead head)> format;
};

struct GenerateEndpoint {
  std::string_view path;
  ApiResult<GenerateBody> (*parse)(std::string_view body, const RequestDefaults& defaults);
  std::string (*error_body)(const ApiError& error);
};

}  // namespace headrace::sim
