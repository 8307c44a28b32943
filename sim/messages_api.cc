#include "sim/messages_api.h"

#include <fmt/format.h>

#include <utility>

#include "sim/field_reader.h"
#include "sim/prompt_writer.h"

namespace headrace::sim {
namespace {

// Of an object, a text; "" when it has none.
std::string_view TextIn(JsonValue object, std::string_view name) {
  const JsonValue value = object.Find(name);
  return value && value.IsText() ? value.text() : std::string_view();
}

class ConversationReader {
 public:
  ConversationReader(FieldReader* body, Prompt* prompt) : body_(body), writer_(prompt) {}

  void Read() {
    if (const JsonValue system = body_->Find("system")) {
      place_ = "system";
      writer_.BeginMessage("system");
      if (!Content(system, false)) return;
      writer_.EndMessage();
    }
    const JsonValue messages = body_->Find("messages");
    if (!messages || !messages.IsList() || messages.count() == 0) {
      body_->Refuse("messages", "messages must be a list of messages, and not empty");
      return;
    }
    size_t index = 0;
    for (const JsonValue message : messages) {
      place_ = fmt::format("messages[{}]", index++);
      if (!Message(message)) return;
    }
  }

 private:
  bool Refuse(std::string_view what) {
    return body_->Refuse(place_, fmt::format("{} {}", place_, what));
  }

  bool Message(JsonValue message) {
    if (!message.IsObject()) return Refuse("must be an object");
    const std::string_view role = TextIn(message, "role");
    if (role != "user" && role != "assistant" && role != "system") {
      return Refuse("must have the role \"user\" or \"assistant\"");
    }
    const JsonValue content = message.Find("content");
    if (!content) return Refuse("must have a content");
    writer_.BeginMessage(role);
    if (!Content(content, false)) return false;
    writer_.EndMessage();
    return true;
  }

  // A text, or a list of blocks; those within a tool's result are none of a tool.
  bool Content(JsonValue content, bool result) {
    if (content.IsText()) {
      writer_.Text(content.text());
      return true;
    }
    if (!content.IsList()) return Refuse("must have a string or a list of blocks as its content");
    for (const JsonValue block : content) {
      if (!block.IsObject()) return Refuse("has a block that is no object");
      if (!Block(block, result)) return false;
    }
    return true;
  }

  bool Block(JsonValue block, bool result) {
    const std::string_view type = TextIn(block, "type");
    if (type == "text") {
      const JsonValue text = block.Find("text");
      if (!text || !text.IsText()) return Refuse("has a text block without a text");
      writer_.Text(text.text());
      return true;
    }
    if (type == "image") return Image(block.Find("source"));
    if (!result && type == "tool_use") return ToolUse(block);
    if (!result && type == "tool_result") return ToolResult(block);
    if (type == "thinking" || type == "redacted_thinking") return true;  // said to nobody
    return Refuse(fmt::format("has a block of unknown type \"{}\"", type));
  }

  bool Image(JsonValue source) {
    const bool object = source && source.IsObject();
    const std::string_view kind = object ? TextIn(source, "type") : std::string_view();
    const std::string_view content = object ? TextIn(source, kind == "url" ? "url" : "data") : "";
    if (content.empty()) {
      return Refuse("has an image without a source of type \"base64\" or \"url\"");
    }
    writer_.Media(content);
    return true;
  }

  bool ToolUse(JsonValue block) {
    const std::string_view name = TextIn(block, "name");
    const JsonValue input = block.Find("input");
    if (name.empty() || !input || !input.IsObject()) {
      return Refuse("has a tool_use without a name, or without an object as its input");
    }
    writer_.Call(name, input.raw());
    return true;
  }

  bool ToolResult(JsonValue block) {
    if (TextIn(block, "tool_use_id").empty()) {
      return Refuse("has a tool_result without a tool_use_id");
    }
    const JsonValue content = block.Find("content");
    return !content || Content(content, true);
  }

  FieldReader* const body_;
  PromptWriter writer_;
  std::string place_;  // what is read
};

void ReadTools(FieldReader* body, ToolRequest* request) {
  const JsonValue tools = body->List("tools");
  if (!tools) return;
  for (const JsonValue tool : tools) {
    const std::string place = fmt::format("tools[{}]", request->tools.size());
    const std::string_view name = tool.IsObject() ? TextIn(tool, "name") : std::string_view();
    const JsonValue schema = name.empty() ? JsonValue() : tool.Find("input_schema");
    if (!schema || !schema.IsObject()) {
      body->Refuse(place,
                   fmt::format("{} must have a name, and an object as its input_schema", place));
      return;
    }
    request->tools.push_back({std::string(name), std::string(schema.raw())});
  }
}

void ReadToolChoice(FieldReader* body, ToolRequest* request) {
  const JsonValue choice = body->Object("tool_choice");
  if (!choice) return;
  FieldReader fields = body->Inside("tool_choice", choice);
  const std::string_view type = TextIn(choice, "type");
  bool alone = false;
  fields.Bool("disable_parallel_tool_use", &alone);
  request->parallel = !alone;
  if (type == "none") {
    request->choice = ToolChoice::kNone;
  } else if (type == "any") {
    request->choice = ToolChoice::kRequired;
  } else if (type == "tool") {
    request->choice = ToolChoice::kNamed;
    request->named = TextIn(choice, "name");
    if (request->named.empty()) {
      fields.Refuse("name", "tool_choice.name must be a string that is not empty");
    }
  } else if (type != "auto") {
    fields.Refuse("type", "tool_choice.type must be \"auto\", \"any\", \"tool\" or \"none\"");
  }
  if (request->tools.empty() && (type == "any" || type == "tool")) {
    body->Refuse("tool_choice", "tool_choice can only be set when tools are");
  }
}

void ReadStopSequences(FieldReader* body, Sampling* sampling) {
  sampling->stop.clear();
  const JsonValue sequences = body->List("stop_sequences");
  if (!sequences) return;
  for (const JsonValue sequence : sequences) {
    if (!sequence.IsText() || sequence.text().empty()) {
      body->Refuse("stop_sequences", "stop_sequences must hold strings that are not empty");
      return;
    }
    sampling->stop.emplace_back(sequence.text());
  }
}

}  // namespace

ApiResult<MessagesRequest> ParseMessages(std::string_view body, const RequestDefaults& defaults) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  MessagesRequest out;
  ReadSampling(defaults, &fields, &out.request);
  out.request.n = 1;
  if (!fields.Find("max_tokens")) fields.Refuse("max_tokens", "max_tokens is missing");
  ReadStopSequences(&fields, &out.request.sampling);
  ConversationReader(&fields, &out.request.prompts.emplace_back()).Read();
  out.request.prompts.front().add_special = false;
  ReadTools(&fields, &out.tools);
  if (!error) ReadToolChoice(&fields, &out.tools);
  if (error) return tl::unexpected(*std::move(error));
  return out;
}

}  // namespace headrace::sim
