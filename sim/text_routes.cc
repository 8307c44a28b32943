#include "sim/text_routes.h"

#include <algorithm>
#include <ctime>
#include <utility>
#include <vector>

#include "sim/chat_api.h"
#include "sim/completions_api.h"
#include "sim/embeddings_api.h"
#include "sim/model_api.h"
#include "sim/token_api.h"

namespace headrace::sim {
namespace {

using net::HttpReply;
using net::HttpRequest;

class TextRoutes {
 public:
  TextRoutes(Rank* rank, uint32_t dimensions) : rank_(rank), dimensions_(dimensions) {}

  ApiResult<std::string> Tokenize(const HttpRequest& http) const;
  ApiResult<std::string> Detokenize(const HttpRequest& http) const;
  ApiResult<std::string> RenderChat(const HttpRequest& http) const;
  ApiResult<std::string> RenderCompletion(const HttpRequest& http) const;
  ApiResult<std::string> Embeddings(const HttpRequest& http) const;

  HttpReply Reply(ApiResult<std::string> body) const {
    const std::string& lines = rank_->options().header_lines;
    if (!body) return ErrorReply(body.error(), lines);
    HttpReply reply{.body = std::move(*body)};
    reply.header_lines = lines;
    return reply;
  }

 private:
  // 404 unless the model is served, or none is named.
  std::optional<ApiError> CheckModel(const std::string& model) const;
  // The same, and an adapter is refused: what is rendered is the base model's.
  std::optional<ApiError> CheckBaseModel(const std::string& model) const;
  ApiResult<text::Encoding> Encode(const Prompt& prompt, text::Special special) const;
  ApiResult<RenderedPrompt> Render(const Prompt& prompt) const;

  Rank* const rank_;
  const uint32_t dimensions_;
};

std::optional<ApiError> TextRoutes::CheckModel(const std::string& model) const {
  if (model.empty() || rank_->Model(model)) return std::nullopt;
  return ModelUnknown(model);
}

std::optional<ApiError> TextRoutes::CheckBaseModel(const std::string& model) const {
  if (auto unknown = CheckModel(model)) return unknown;
  if (model.empty() || rank_->Model(model)->name.empty()) return std::nullopt;
  return ApiError{400, "Prompts of an adapter cannot be rendered: name its base model", "model"};
}

ApiResult<text::Encoding> TextRoutes::Encode(const Prompt& prompt, text::Special special) const {
  if (!prompt.ids.empty()) return text::Encoding{.ids = prompt.ids, .offsets = {}};
  auto encoding = rank_->tokenizer().EncodeWithOffsets(prompt.text, special);
  if (!encoding) return tl::unexpected(ApiError{400, encoding.error().what, "prompt"});
  return std::move(*encoding);
}

ApiResult<std::string> TextRoutes::Tokenize(const HttpRequest& http) const {
  auto call = ParseTokenize(http.body);
  if (!call) return tl::unexpected(std::move(call.error()));
  if (auto unknown = CheckModel(call->model)) return tl::unexpected(std::move(*unknown));
  const auto special = call->add_special_tokens ? text::Special::kAdd : text::Special::kNone;
  auto encoding = Encode(call->prompt, special);
  if (!encoding) return tl::unexpected(std::move(encoding.error()));
  std::vector<std::string> strings;
  if (call->return_token_strs) {
    for (const uint32_t id : encoding->ids) {
      const uint32_t one[] = {id};
      strings.push_back(rank_->tokenizer().Decode(one, false).value_or(""));
    }
  }
  return TokenizeBody(encoding->ids, rank_->options().max_model_len,
                      call->return_token_strs ? &strings : nullptr);
}

ApiResult<std::string> TextRoutes::Detokenize(const HttpRequest& http) const {
  auto call = ParseDetokenize(http.body);
  if (!call) return tl::unexpected(std::move(call.error()));
  if (auto unknown = CheckModel(call->model)) return tl::unexpected(std::move(*unknown));
  auto text = rank_->tokenizer().Decode(call->tokens, false);
  if (!text) return tl::unexpected(ApiError{400, text.error().what, "tokens"});
  return DetokenizeBody(*text);
}

ApiResult<RenderedPrompt> TextRoutes::Render(const Prompt& prompt) const {
  auto encoding = Encode(prompt, prompt.add_special ? text::Special::kAdd : text::Special::kNone);
  if (!encoding) return tl::unexpected(std::move(encoding.error()));
  RenderedPrompt rendered{
      .tokens = std::move(encoding->ids), .media = prompt.media, .media_at = {}};
  for (const MediaPart& part : prompt.media) {
    const auto after =
        std::partition_point(encoding->offsets.begin(), encoding->offsets.end(),
                             [&](const text::ByteSpan& span) { return span.end <= part.offset; });
    rendered.media_at.push_back(static_cast<uint32_t>(after - encoding->offsets.begin()));
  }
  return rendered;
}

ApiResult<std::string> TextRoutes::RenderChat(const HttpRequest& http) const {
  auto chat = ParseChat(http.body, {});
  if (!chat) return tl::unexpected(std::move(chat.error()));
  if (auto refused = CheckBaseModel(chat->request.model))
    return tl::unexpected(std::move(*refused));
  auto rendered = Render(chat->request.prompts.front());
  if (!rendered) return tl::unexpected(std::move(rendered.error()));
  return RenderBody(*rendered);
}

ApiResult<std::string> TextRoutes::RenderCompletion(const HttpRequest& http) const {
  auto request = ParseCompletion(http.body, {});
  if (!request) return tl::unexpected(std::move(request.error()));
  if (auto refused = CheckBaseModel(request->model)) return tl::unexpected(std::move(*refused));
  std::vector<RenderedPrompt> rendered;
  for (const Prompt& prompt : request->prompts) {
    auto one = Render(prompt);
    if (!one) return tl::unexpected(std::move(one.error()));
    rendered.push_back(std::move(*one));
  }
  return RenderBody(rendered);
}

ApiResult<std::string> TextRoutes::Embeddings(const HttpRequest& http) const {
  auto call = ParseEmbeddings(http.body);
  if (!call) return tl::unexpected(std::move(call.error()));
  if (!rank_->Model(call->model)) return tl::unexpected(ModelUnknown(call->model));
  std::vector<std::vector<uint32_t>> prompts;
  for (const Prompt& input : call->inputs) {
    auto encoding = Encode(input, text::Special::kAdd);
    if (!encoding) return tl::unexpected(std::move(encoding.error()));
    prompts.push_back(std::move(encoding->ids));
  }
  return EmbeddingsBody({.id = rank_->NewId(),
                         .model = call->model,
                         .created_s = time(nullptr),
                         .dimensions = call->dimensions.value_or(dimensions_),
                         .base64 = call->base64},
                        prompts);
}

}  // namespace

void AddTextRoutes(net::HttpServer* server, Rank* rank, uint32_t dimensions) {
  const TextRoutes routes(rank, dimensions);
  const auto add = [&](const char* path,
                       ApiResult<std::string> (TextRoutes::*answer)(const HttpRequest&) const) {
    server->Handle("POST", path, [routes, answer](const HttpRequest& http) {
      return routes.Reply((routes.*answer)(http));
    });
  };
  add("/tokenize", &TextRoutes::Tokenize);
  add("/detokenize", &TextRoutes::Detokenize);
  add("/v1/chat/completions/render", &TextRoutes::RenderChat);
  add("/v1/completions/render", &TextRoutes::RenderCompletion);
  add("/v1/embeddings", &TextRoutes::Embeddings);
}

}  // namespace headrace::sim
