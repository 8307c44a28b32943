#include "sim/responses_api.h"

#include <fmt/format.h>

#include <utility>

#include "sim/field_reader.h"
#include "sim/json_text.h"
#include "sim/prompt_writer.h"

namespace headrace::sim {
namespace {

constexpr double kMaxTemperature = 2;

// Of an object, a text; "" when it has none.
std::string_view TextIn(JsonValue object, std::string_view name) {
  const JsonValue value = object.Find(name);
  return value && value.IsText() ? value.text() : std::string_view();
}

// Without the blanks between its values: a line of a stream must be one line.
void AppendCompact(std::string_view json, std::string* out) {
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (!quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
    *out += c;
    if (quoted && c == '\\') *out += json[++i];  // the parser saw that one follows
    if (c == '"') quoted = !quoted;
  }
}

class InputReader {
 public:
  InputReader(FieldReader* body, Prompt* prompt) : body_(body), writer_(prompt) {}

  void Read(JsonValue instructions, JsonValue input) {
    if (instructions) Message("system", instructions.text());
    if (!input) {
      body_->Refuse("input", "input must be a string or a list of items");
    } else if (input.IsText()) {
      Message("user", input.text());
    } else if (!input.IsList() || input.count() == 0) {
      body_->Refuse("input", "input must be a string or a list of items, and not empty");
    } else {
      for (const JsonValue item : input) {
        if (!Item(item)) return;
        ++index_;
      }
    }
  }

 private:
  bool Refuse(std::string_view field, std::string_view what) {
    const std::string name = fmt::format("input[{}]{}", index_, field);
    return body_->Refuse(name, fmt::format("{} {}", name, what));
  }

  void Message(std::string_view role, std::string_view text) {
    writer_.BeginMessage(role);
    writer_.Text(text);
    writer_.EndMessage();
  }

  bool Item(JsonValue item) {
    if (!item.IsObject()) return Refuse("", "must be an object");
    const JsonValue type = item.Find("type");
    const std::string_view word = type && type.IsText() ? type.text() : "message";
    if (word == "message") return MessageItem(item);
    if (word == "function_call") return CallItem(item);
    if (word == "function_call_output") return OutputItem(item);
    if (word == "reasoning") return true;  // what clients send back of an earlier answer
    return Refuse(".type", fmt::format("\"{}\" is unknown: it must be \"message\", "
                                       "\"function_call\" or \"function_call_output\"",
                                       word));
  }

  bool MessageItem(JsonValue item) {
    const std::string_view role = TextIn(item, "role");
    if (role.empty()) {
      return Refuse(".role", "must be \"user\", \"assistant\", \"system\" or \"developer\"");
    }
    writer_.BeginMessage(role);
    if (!Content(item, "content")) return false;
    writer_.EndMessage();
    return true;
  }

  bool CallItem(JsonValue item) {
    const std::string_view name = TextIn(item, "name");
    const JsonValue arguments = item.Find("arguments");
    if (name.empty()) return Refuse(".name", "must be a string that is not empty");
    if (!arguments || !arguments.IsText()) return Refuse(".arguments", "must be a string");
    writer_.BeginMessage("assistant");
    writer_.Call(name, arguments.text());
    writer_.EndMessage();
    return true;
  }

  bool OutputItem(JsonValue item) {
    if (TextIn(item, "call_id").empty()) {
      return Refuse(".call_id", "must be a string that is not empty");
    }
    writer_.BeginMessage("tool");
    if (!Content(item, "output")) return false;
    writer_.EndMessage();
    return true;
  }

  // A text, or a list of parts.
  bool Content(JsonValue item, std::string_view field) {
    const JsonValue content = item.Find(field);
    if (content && content.IsText()) {
      writer_.Text(content.text());
      return true;
    }
    const std::string name = fmt::format(".{}", field);
    if (!content || !content.IsList()) return Refuse(name, "must be a string or a list of parts");
    for (const JsonValue part : content) {
      if (!part.IsObject() || !Part(part)) return Refuse(name, "holds a part that is unknown");
    }
    return true;
  }

  bool Part(JsonValue part) {
    const std::string_view type = TextIn(part, "type");
    std::string_view source;
    if (type == "input_text" || type == "output_text" || type == "text") {
      const JsonValue text = part.Find("text");
      if (!text || !text.IsText()) return false;
      writer_.Text(text.text());
      return true;
    }
    if (type == "refusal") {
      writer_.Text(TextIn(part, "refusal"));
      return true;
    }
    if (type == "input_image") source = TextIn(part, "image_url");
    if (type == "input_audio") {
      const JsonValue audio = part.Find("input_audio");
      source = audio && audio.IsObject() ? TextIn(audio, "data") : std::string_view();
    }
    if (source.empty()) return false;
    writer_.Media(source);
    return true;
  }

  FieldReader* const body_;
  PromptWriter writer_;
  size_t index_ = 0;  // of the item
};

// A function, flat as OpenAI has it here, or nested as in a chat; nowhere when it is neither.
JsonValue FunctionOf(JsonValue tool) {
  if (!tool.IsObject() || TextIn(tool, "type") != "function") return {};
  const JsonValue nested = tool.Find("function");
  const JsonValue function = nested ? nested : tool;
  return function.IsObject() && !TextIn(function, "name").empty() ? function : JsonValue();
}

// Flat, and on one line.
void AppendTool(JsonValue function, JsonValue parameters, std::string* echo) {
  echo->append(R"({"type":"function","name":)");
  AppendJsonString(TextIn(function, "name"), echo);
  echo->append(R"(,"description":)");
  AppendJsonString(TextIn(function, "description"), echo);
  echo->append(R"(,"parameters":)");
  AppendCompact(parameters ? parameters.raw() : "{}", echo);
  const JsonValue strict = function.Find("strict");
  echo->append(R"(,"strict":)").append(strict && strict.IsBool() ? strict.raw() : "null") += '}';
}

bool ReadTool(JsonValue tool, FieldReader* body, ResponsesRequest* out) {
  std::vector<Tool>& tools = out->tools.tools;
  const std::string place = fmt::format("tools[{}]", tools.size());
  const JsonValue function = FunctionOf(tool);
  if (!function) {
    return body->Refuse(
        place,
        fmt::format("{} must be of type \"function\", with a name that is not empty", place));
  }
  const JsonValue parameters = function.Find("parameters");
  if (parameters && !parameters.IsObject()) {
    return body->Refuse(place, fmt::format("{} has parameters that are no object", place));
  }
  out->echo.tools += tools.empty() ? '[' : ',';
  AppendTool(function, parameters, &out->echo.tools);
  tools.push_back({std::string(TextIn(function, "name")),
                   parameters ? std::string(parameters.raw()) : std::string()});
  return true;
}

void ReadTools(FieldReader* body, ResponsesRequest* out) {
  const JsonValue tools = body->List("tools");
  if (!tools || tools.count() == 0) return;
  out->echo.tools.clear();
  for (const JsonValue tool : tools) {
    if (!ReadTool(tool, body, out)) return;
  }
  out->echo.tools += ']';
}

void ReadToolChoice(FieldReader* body, ResponsesRequest* out) {
  const JsonValue choice = body->Find("tool_choice");
  if (!choice) return;
  if (choice.IsObject()) {
    const JsonValue nested = choice.Find("function");
    const std::string_view name = TextIn(nested && nested.IsObject() ? nested : choice, "name");
    if (name.empty()) {
      body->Refuse("tool_choice",
                   "tool_choice must name a function: {\"type\": \"function\", "
                   "\"name\": \"my_function\"}");
      return;
    }
    out->tools.choice = ToolChoice::kNamed;
    out->tools.named = name;
    out->echo.tool_choice = R"({"type":"function","name":)";
    AppendJsonString(name, &out->echo.tool_choice);
    out->echo.tool_choice += '}';
    return;
  }
  const std::string_view word = choice.IsText() ? choice.text() : "";
  if (word == "none") {
    out->tools.choice = ToolChoice::kNone;
  } else if (word == "required") {
    out->tools.choice = ToolChoice::kRequired;
  } else if (word != "auto") {
    body->Refuse("tool_choice",
                 "tool_choice must be \"none\", \"auto\", \"required\" or a named function");
    return;
  }
  if (word == "required" && out->tools.tools.empty()) {
    body->Refuse("tool_choice", "tool_choice can only be \"required\" when there are tools");
    return;
  }
  out->echo.tool_choice.clear();
  AppendJsonString(word, &out->echo.tool_choice);
}

// `include` says whether, `top_logprobs` how many.
void ReadLogprobs(FieldReader* body, ResponsesRequest* out) {
  bool wanted = false;
  if (const JsonValue include = body->List("include")) {
    for (const JsonValue word : include) {
      if (!word.IsText()) {
        body->Refuse("include", "include must be a list of strings");
        return;
      }
      wanted |= word.text() == "message.output_text.logprobs";
    }
  }
  uint32_t top = 0;
  body->Count("top_logprobs", 0, kMaxLogprobs + 1, &top);
  if (!wanted && top == 0) return;
  out->request.sampling.logprobs = top;
  out->echo.logprobs = top;
}

void ReadEcho(FieldReader* body, JsonValue instructions, ResponsesRequest* out) {
  ResponsesEcho& echo = out->echo;
  if (instructions) {
    echo.instructions.clear();
    AppendJsonString(instructions.text(), &echo.instructions);
  }
  if (const JsonValue metadata = body->Object("metadata")) {
    echo.metadata.clear();
    AppendCompact(metadata.raw(), &echo.metadata);
  }
  std::string previous;
  body->Text("previous_response_id", &previous);
  if (!previous.empty()) {
    echo.previous_response_id.clear();
    AppendJsonString(previous, &echo.previous_response_id);
  }
  body->Bool("parallel_tool_calls", &out->tools.parallel);
  echo.parallel_tool_calls = out->tools.parallel;
  body->Number("temperature", 0, kMaxTemperature, &echo.temperature);
  body->Number("top_p", 0, 1, &echo.top_p);
  echo.max_output_tokens = out->request.sampling.max_tokens;
}

}  // namespace

ApiResult<ResponsesRequest> ParseResponses(std::string_view body, const RequestDefaults& defaults) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  ResponsesRequest out;
  ReadSampling(defaults, &fields, &out.request);
  out.request.n = 1;
  out.request.sampling.max_tokens.reset();
  fields.Integer("max_output_tokens", &out.request.sampling.max_tokens);
  const JsonValue instructions = fields.Find("instructions");
  if (instructions && !instructions.IsText()) {
    fields.Refuse("instructions", "instructions must be a string");
  } else {
    InputReader(&fields, &out.request.prompts.emplace_back())
        .Read(instructions, fields.Find("input"));
    out.request.prompts.front().add_special = false;
    ReadEcho(&fields, instructions, &out);
  }
  ReadTools(&fields, &out);
  if (!error) ReadToolChoice(&fields, &out);
  ReadLogprobs(&fields, &out);
  if (error) return tl::unexpected(*std::move(error));
  return out;
}

}  // namespace headrace::sim
