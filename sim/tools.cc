#include "sim/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/schema_check.h"
#include "sim/schema_values.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kMaxCalls = 16;  // of one answer

// What is wrong with the function of a tool, behind its field; "": nothing.
std::string_view WrongFunction(JsonValue function) {
  if (!function || !function.IsObject()) return " must be an object";
  const JsonValue name = function.Find("name");
  if (!name || !name.IsText() || name.text().empty()) {
    return ".name must be a string that is not empty";
  }
  const JsonValue parameters = function.Find("parameters");
  if (parameters && !parameters.IsObject()) return ".parameters must be an object: a JSON schema";
  return "";
}

bool ReadTool(JsonValue tool, FieldReader* body, std::vector<Tool>* tools) {
  const auto refuse = [&](std::string_view what) {
    const std::string message = fmt::format("tools[{}]{}", tools->size(), what);
    return body->Refuse(std::string_view(message).substr(0, message.find(' ')), message);
  };
  if (!tool.IsObject()) return refuse(" must be an object");
  const JsonValue type = tool.Find("type");
  if (type && (!type.IsText() || type.text() != "function")) {
    return refuse(".type must be \"function\"");
  }
  const JsonValue function = tool.Find("function");
  const std::string_view wrong = WrongFunction(function);
  if (!wrong.empty()) return refuse(fmt::format(".function{}", wrong));
  Tool& read = tools->emplace_back();
  read.name = function.Find("name").text();
  if (const JsonValue parameters = function.Find("parameters")) read.parameters = parameters.raw();
  return true;
}

void ReadNamed(JsonValue choice, FieldReader* body, ToolRequest* request) {
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
}

// A word, or the one function that is to be called.
void ReadChoice(FieldReader* body, ToolRequest* request) {
  const JsonValue choice = body->Find("tool_choice");
  if (!choice) return;
  if (choice.IsObject()) {
    ReadNamed(choice, body, request);
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
      if (!ReadTool(tool, body, &request.tools)) break;
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
  const Tool* const named = request.choice == ToolChoice::kNamed ? FindTool(request) : nullptr;
  for (ToolCall& call : calls) {
    const Tool& tool =
        named != nullptr ? *named : request.tools[random->Below(request.tools.size())];
    call.id = CallId(random);
    call.name = tool.name;
    call.arguments = MakeArguments(tool.parameters, options, random);
  }
  return calls;
}

}  // namespace headrace::sim
