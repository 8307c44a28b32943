#include "sim/token_api.h"

#include <fmt/format.h>

#include <optional>

#include "base/result.h"
#include "sim/chat_api.h"
#include "sim/field_reader.h"
#include "sim/generate_api.h"
#include "sim/json_text.h"

namespace headrace::sim {
namespace {

// `"name":[1,2,3]`.
void AppendIds(std::string_view name, std::span<const uint32_t> ids, std::string* out) {
  fmt::format_to(std::back_inserter(*out), R"("{}":[)", name);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) *out += ',';
    AppendNumber(ids[i], out);
  }
  *out += ']';
}

void AppendRendered(const RenderedPrompt& prompt, std::string* out) {
  HR_CHECK(prompt.media.size() == prompt.media_at.size());
  *out += '{';
  AppendIds("token_ids", prompt.tokens, out);
  if (!prompt.media.empty()) {
    out->append(R"(,"features":{"mm_hashes":{"image":[)");
    for (size_t i = 0; i < prompt.media.size(); ++i) {
      if (i > 0) *out += ',';
      AppendJsonString(prompt.media[i].hash, out);
    }
    out->append(R"(]},"mm_placeholders":{"image":[)");
    for (size_t i = 0; i < prompt.media_at.size(); ++i) {
      fmt::format_to(std::back_inserter(*out), R"({}{{"offset":{},"length":1}})", i > 0 ? "," : "",
                     prompt.media_at[i]);
    }
    out->append("]}}");
  }
  *out += '}';
}

}  // namespace

ApiResult<TokenizeCall> ParseTokenize(std::string_view body) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  TokenizeCall call;
  fields.Text("model", &call.model);
  const JsonValue prompt = fields.Find("prompt");
  const JsonValue messages = fields.Find("messages");
  if (static_cast<bool>(prompt) == static_cast<bool>(messages)) {
    fields.Refuse("prompt", "exactly one of prompt and messages must be given");
  } else if (prompt) {
    fields.Text("prompt", &call.prompt.text);
  } else {
    call.chat = true;
    call.add_special_tokens = false;
    ReadMessages(messages, &fields, &call.prompt);
  }
  fields.Bool("add_special_tokens", &call.add_special_tokens);
  fields.Bool("return_token_strs", &call.return_token_strs);
  if (error) return tl::unexpected(*std::move(error));
  return call;
}

ApiResult<DetokenizeCall> ParseDetokenize(std::string_view body) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  DetokenizeCall call;
  fields.Text("model", &call.model);
  const JsonValue tokens = fields.Find("tokens");
  const bool none = tokens && tokens.IsList() && tokens.count() == 0;  // of these the text is ""
  if (!none) ReadTokenIds("tokens", &fields, &call.tokens);
  if (error) return tl::unexpected(*std::move(error));
  return call;
}

std::string TokenizeBody(std::span<const uint32_t> tokens, uint32_t max_model_len,
                         const std::vector<std::string>* strings) {
  HR_CHECK(strings == nullptr || strings->size() == tokens.size());
  std::string body =
      fmt::format(R"({{"count":{},"max_model_len":{},)", tokens.size(), max_model_len);
  AppendIds("tokens", tokens, &body);
  body.append(R"(,"token_strs":)");
  if (strings == nullptr) {
    body.append("null}");
    return body;
  }
  body += '[';
  for (size_t i = 0; i < strings->size(); ++i) {
    if (i > 0) body += ',';
    AppendJsonString((*strings)[i], &body);
  }
  body.append("]}");
  return body;
}

std::string DetokenizeBody(std::string_view text) {
  std::string body = R"({"prompt":)";
  AppendJsonString(text, &body);
  body += '}';
  return body;
}

std::string RenderBody(const RenderedPrompt& prompt) {
  std::string body;
  AppendRendered(prompt, &body);
  return body;
}

std::string RenderBody(std::span<const RenderedPrompt> prompts) {
  std::string body = "[";
  for (const RenderedPrompt& prompt : prompts) {
    if (body.size() > 1) body += ',';
    AppendRendered(prompt, &body);
  }
  body += ']';
  return body;
}

}  // namespace headrace::sim
