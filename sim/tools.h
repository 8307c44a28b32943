// Tools of a chat: their schemas are checked, and calls are made up that obey them. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/api_error.h"
#include "sim/field_reader.h"
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
  std::string parameters;  // a JSON schema of an object; "": takes none
};

enum class ToolChoice : uint8_t { kNone, kAuto, kRequired, kNamed };

struct ToolRequest {
  std::vector<Tool> tools;
  ToolChoice choice = ToolChoice::kAuto;
  std::string named;     // of kNamed
  bool parallel = true;  // more than one call may answer
};

// `tools`, `tool_choice` and `parallel_tool_calls` of a body. What is wrong with the types of these
// fields is told to `body`; schemas are not looked at.
ToolRequest ReadTools(FieldReader* body);

// 400 names what is wrong with which tool, or with the choice among them.
std::optional<ApiError> CheckTools(const ToolRequest& request, const ToolOptions& options);

// The calls that answer: none when the choice leaves it open and chance says so. Schemas that were
// not checked give some call, too. `first_token` is for whoever makes the tokens.
std::vector<ToolCall> MakeToolCalls(const ToolRequest& request, const ToolOptions& options,
                                    Random* random);

}  // namespace headrace::sim
