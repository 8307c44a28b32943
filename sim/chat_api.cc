#include "sim/chat_api.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "sim/media.h"

namespace headrace::sim {
namespace {

// A block that is no text: its member of the same name, and what of that names the content.
struct MediaKind {
  std::string_view type;
  std::string_view source;
};
constexpr std::array<MediaKind, 4> kMediaKinds = {{
    {"image_url", "url"},
    {"input_audio", "data"},
    {"audio_url", "url"},
    {"video_url", "url"},
}};

class MessageReader {
 public:
  MessageReader(FieldReader* body, Prompt* prompt) : body_(body), prompt_(prompt) {}

  bool Message(JsonValue message) {
    if (!message.IsObject()) return Refuse("", "must be an object");
    const JsonValue role = message.Find("role");
    if (!role || !role.IsText() || role.text().empty()) {
      return Refuse(".role", "must be a string: \"system\", \"user\", \"assistant\" or \"tool\"");
    }
    std::string& text = prompt_->text;
    text.append("### ").append(role.text()).append(": ");
    content_begin_ = text.size();
    if (!Content(message.Find("content"), role.text() == "assistant")) return false;
    content_end_ = text.size();
    if (const JsonValue calls = message.Find("tool_calls")) {
      if (!ToolCalls(calls)) return false;
    }
    text.push_back('\n');
    ++index_;
    return true;
  }
  // What the last message said.
  std::string Echo() const {
    return prompt_->text.substr(content_begin_, content_end_ - content_begin_);
  }

 private:
  bool Refuse(std::string_view field, std::string_view what) {
    const std::string name = fmt::format("messages[{}]{}", index_, field);
    return body_->Refuse(name, fmt::format("{} {}", name, what));
  }

  bool Content(JsonValue content, bool may_lack) {
    if (!content) return may_lack || Refuse(".content", "is missing");
    if (content.IsText()) {
      prompt_->text.append(content.text());
      return true;
    }
    if (!content.IsList()) return Refuse(".content", "must be a string or a list of blocks");
    for (const JsonValue block : content) {
      if (!Block(block)) return false;
    }
    return true;
  }

  bool Block(JsonValue block) {
    if (block.IsText()) return Piece(block);
    if (!block.IsObject()) return Refuse(".content", "holds a block that is no object");
    const JsonValue type = block.Find("type");
    if (!type || !type.IsText()) return Refuse(".content", "holds a block without a type");
    if (type.text() == "text" || type.text() == "refusal") return Piece(block.Find(type.text()));
    for (const MediaKind& kind : kMediaKinds) {
      if (kind.type == type.text()) return Media(kind, block.Find(kind.type));
    }
    return Refuse(".content", fmt::format("holds a block of unknown type \"{}\"", type.text()));
  }

  // Blocks of text stand on lines of their own, as in vLLM.
  bool Piece(JsonValue piece) {
    if (!piece || !piece.IsText()) return Refuse(".content", "holds a text block without a text");
    std::string& text = prompt_->text;
    if (text.size() > content_begin_) text.push_back('\n');
    text.append(piece.text());
    return true;
  }

  bool Media(const MediaKind& kind, JsonValue media) {
    const JsonValue source = media && media.IsObject() ? media.Find(kind.source) : media;
    if (!source || !source.IsText()) {
      return Refuse(".content",
                    fmt::format("holds a block {0} without its {0}.{1}", kind.type, kind.source));
    }
    prompt_->media.push_back(
        {MediaHash(source.text()), static_cast<uint32_t>(prompt_->text.size())});
    return true;
  }

  bool ToolCalls(JsonValue calls) {
    if (!calls.IsList()) return Refuse(".tool_calls", "must be a list");
    for (const JsonValue call : calls) {
      const JsonValue function = call.IsObject() ? call.Find("function") : JsonValue();
      if (!function || !function.IsObject()) return Refuse(".tool_calls", "lacks a function");
      const JsonValue name = function.Find("name");
      const JsonValue arguments = function.Find("arguments");
      if (!name || !name.IsText() || (arguments && !arguments.IsText())) {
        return Refuse(".tool_calls", "must have a name and arguments that are strings");
      }
      prompt_->text.append(name.text()).push_back('(');
      if (arguments) prompt_->text.append(arguments.text());
      prompt_->text.push_back(')');
    }
    return true;
  }

  FieldReader* const body_;
  Prompt* const prompt_;
  size_t index_ = 0;
  size_t content_begin_ = 0, content_end_ = 0;  // of the last message, in the prompt's text
};

// The field `logprobs` says whether, `top_logprobs` how many.
void ReadLogprobs(FieldReader* body, Sampling* sampling) {
  bool wanted = false;
  uint32_t top = 1;
  body->Bool("logprobs", &wanted);
  body->Count("top_logprobs", 0, kMaxLogprobs + 1, &top);
  if (wanted) {
    sampling->logprobs = top;
  } else if (body->Find("top_logprobs") && top > 0) {
    body->Refuse("top_logprobs", "top_logprobs can only be set when logprobs is true");
  }
}

}  // namespace

void ReadMessages(JsonValue messages, FieldReader* body, Prompt* prompt) {
  if (!messages || !messages.IsList()) {
    body->Refuse("messages", "messages must be a list of messages");
    return;
  }
  if (messages.count() == 0) {
    body->Refuse("messages", "messages must not be empty");
    return;
  }
  prompt->add_special = false;
  MessageReader reader(body, prompt);
  prompt->text.reserve(messages.raw().size());
  for (const JsonValue message : messages) {
    if (!reader.Message(message)) return;
  }
  prompt->echo = reader.Echo();
}

ApiResult<ChatRequest> ParseChat(std::string_view body, const RequestDefaults& defaults) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  ChatRequest chat;
  ReadSampling(defaults, &fields, &chat.request);
  fields.Integer("max_completion_tokens", &chat.request.sampling.max_tokens);
  ReadLogprobs(&fields, &chat.request.sampling);
  ReadMessages(root->Find("messages"), &fields, &chat.request.prompts.emplace_back());
  chat.tools = ReadTools(&fields);
  if (error) return tl::unexpected(*std::move(error));
  return chat;
}

}  // namespace headrace::sim
