#include "sim/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/schema_check.h"
#include "sim/schema_values.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kMaxCalls = 16;  // of one answer

bool ReadTool(JsonValue tool, size_t index, FieldReader* body, std::vector<Tool>* tools) {
  const std::string name = fmt::format("tools[{}]", index);
  const auto refuse = [&](std::string_view field, std::string_view what) {
    const std::string param = fmt::format("{}{}", name, field);
    return body->Refuse(param, fmt::format("{} {}", param, what));
  };
  if (!tool.IsObject()) return refuse("", "must be an object");
  const JsonValue type = tool.Find("type");
  if (type && (!type.IsText() || type.text() != "function")) {
    return refuse(".type", "must be \"function\"");
  }
  const JsonValue function = tool.Find("function");
  if (!function || !function.IsObject()) return refuse(".function", "must be an object");
  const JsonValue called = function.Find("name");
  if (!called || !called.IsText() || called.text().empty()) {
    return refuse(".function.name", "must be a string that is not empty");
  }
  const JsonValue parameters = function.Find("parameters");
  if (parameters && !parameters.IsObject()) {
    return refuse(".function.parameters", "must be an object: a JSON schema");
  }
  Tool read;
  read.name = called.text();
  if (parameters) read.parameters = parameters.raw();
  tools->push_back(std::move(read));
  return true;
}

// The words, or the one function that is to be called.
void ReadChoice(FieldReader* body, ToolRequest* request) {
  const JsonValue choice = body->Find("tool_choice");
  if (!choice) return;
  if (choice.IsObject()) {
    const JsonValue function = choice.Find("function");
    const JsonValue name = function && function.IsObject() ? function.Find("name") : JsonValue();
    if (!name || !name.IsText()) {
      body->Refuse("tool_choice",
                   "tool_choice must be like {\"type\": \"function\", \"function\": "
                   "{\"name\": \"my_function\"}}");
      return;
    }
    request->choice = ToolChoice::kNamed;
    request->named = name.text();
    return;
  }
  const std::string_view word = choice.IsText() ? choice.text() : "";
  if (word == "none") {
    request->choice = ToolChoice::kNone;
  } else if (word == "required") {
    request->choice = ToolChoice::kRequired;
  } else if (word != "auto") {
    body->Refuse("tool_choice",
                 "tool_choice must be \"none\", \"auto\", \"required\" or a named function");
    return;
  }
  if (request->tools.empty() && word != "none") {
    body->Refuse("tool_choice", "tool_choice can only be set when tools are");
  }
}

const Tool* FindTool(const ToolRequest& request) {
  const auto place = std::find_if(request.tools.begin(), request.tools.end(),
                                  [&](const Tool& tool) { return tool.name == request.named; });
  return place == request.tools.end() ? nullptr : &*place;
}

std::string CallId(Random* random) {
  return fmt::format("chatcmpl-tool-{:016x}{:016x}", random->Next(), random->Next());
}

// How many calls answer.
uint32_t CountCalls(const ToolRequest& request, const ToolOptions& options, Random* random) {
  if (request.tools.empty() || request.choice == ToolChoice::kNone) return 0;
  if (request.choice == ToolChoice::kNamed) return FindTool(request) == nullptr ? 0 : 1;
  if (request.choice == ToolChoice::kAuto && random->Chance(1, 2)) return 0;
  uint32_t calls = 1;
  while (request.parallel && calls < kMaxCalls && random->Chance(options.extra_call_percent, 100)) {
    ++calls;
  }
  return calls;
}

}  // namespace

ToolRequest ReadTools(FieldReader* body) {
  ToolRequest request;
  if (const JsonValue tools = body->List("tools")) {
    for (const JsonValue tool : tools) {
      if (!ReadTool(tool, request.tools.size(), body, &request.tools)) break;
    }
  }
  body->Bool("parallel_tool_calls", &request.parallel);
  ReadChoice(body, &request);
  return request;
}

std::optional<ApiError> CheckTools(const ToolRequest& request, const ToolOptions& options) {
  if (request.choice == ToolChoice::kNamed && FindTool(request) == nullptr) {
    return ApiError{
        400, fmt::format("tool_choice names \"{}\", which is none of the tools", request.named),
        "tool_choice"};
  }
  if (options.skip_validation) return std::nullopt;
  for (size_t i = 0; i < request.tools.size(); ++i) {
    const Tool& tool = request.tools[i];
    if (tool.parameters.empty()) continue;
    const auto wrong = WhatIsWrongWithSchema(tool.parameters);
    if (!wrong) continue;
    return ApiError{400, fmt::format("tool \"{}\": parameters{}", tool.name, *wrong),
                    fmt::format("tools[{}].function.parameters", i)};
  }
  return std::nullopt;
}

std::vector<ToolCall> MakeToolCalls(const ToolRequest& request, const ToolOptions& options,
                                    Random* random) {
  std::vector<ToolCall> calls(CountCalls(request, options, random));
  for (ToolCall& call : calls) {
    const Tool& tool = request.choice == ToolChoice::kNamed
                           ? *FindTool(request)
                           : request.tools[random->Below(request.tools.size())];
    call.id = CallId(random);
    call.name = tool.name;
    call.arguments = MakeArguments(tool.parameters, options, random);
  }
  return calls;
}

}  // namespace headrace::sim
