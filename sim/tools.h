// Tools of a chat: their schemas are checked, and calls are made up that obey them. One thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/api_error.h"
#include "sim/request.h"

namespace headrace::sim {

struct ToolOptions {
  int64_t max_integer = 100, min_integer = 0;
  double max_number = 100, min_number = 0;
  uint32_t max_array_length = 5, min_array_length = 1;
  uint32_t not_required_param_percent = 50;
  uint32_t not_required_field_percent = 50;
  uint32_t extra_call_percent = 45;
  bool skip_validation = false;
};

struct Tool {
  std::string name;
  std::string parameters;  // a JSON schema of an object
};

enum class ToolChoice : uint8_t { kNone, kAuto, kRequired, kNamed };

struct ToolRequest {
  std::vector<Tool> tools;
  ToolChoice choice = ToolChoice::kAuto;
  std::string named;  // of kNamed
};

// `tools` and `tool_choice` of a body; 400 names what is wrong with which tool.
ApiResult<ToolRequest> ParseTools(const nlohmann::json& body, const ToolOptions& options);

// The calls that answer: none when the choice leaves it open and chance says so.
std::vector<ToolCall> MakeToolCalls(const ToolRequest& request, const ToolOptions& options,
                                    Random* random);

}  // namespace headrace::sim
