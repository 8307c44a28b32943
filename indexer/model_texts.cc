#include "indexer/model_texts.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <utility>

#include "base/time.h"

namespace headrace::indexer {
namespace {

constexpr const char* kBytes = "bytes";

tl::unexpected<Error> Refuse(std::string field, std::string text, ApiError* error) {
  *error = {400, std::move(field), std::move(text)};
  return Fail(Errc::kInvalid, "the request is wrong");
}

double SecondsSince(Time begin) {
  return std::chrono::duration<double>(MonotonicNow() - begin).count();
}

// Templates stand beside the tokenizer's file.
std::string FolderOf(const std::string& tokenizer) {
  std::error_code ignored;
  if (std::filesystem::is_directory(tokenizer, ignored)) return tokenizer;
  return std::filesystem::path(tokenizer).parent_path().string();
}

}  // namespace

Result<std::unique_ptr<ModelTexts>> ModelTexts::Create(const std::vector<ModelConfig>& models,
                                                       const Options& options,
                                                       std::string* message) {
  std::unique_ptr<ModelTexts> texts(new ModelTexts(options));
  for (const ModelConfig& model : models) {
    HR_RETURN_IF_ERROR(texts->Load(model, message));
  }
  return texts;
}

std::unique_ptr<ModelTexts> ModelTexts::Of(const std::string& model,
                                           std::unique_ptr<text::Tokenizer> tokenizer,
                                           const Options& options) {
  HR_CHECK(tokenizer != nullptr);
  std::unique_ptr<ModelTexts> texts(new ModelTexts(options));
  Model& made = texts->models_[model];
  made.tokenizer = std::move(tokenizer);
  made.store = std::make_unique<text::PrefixStore>(
      *made.tokenizer,
      text::PrefixStore::Options{.max_bytes = options.prefix_bytes, .seed = options.seed});
  return texts;
}

Status ModelTexts::Load(const ModelConfig& config, std::string* message) {
  HR_CHECK(!config.name.empty());
  Model& model = models_[config.name];
  if (config.tokenizer.empty()) return {};
  std::string why;
  if (config.tokenizer == kBytes) {
    model.tokenizer = text::MakeByteTokenizer();
  } else {
    auto tokenizer = text::LoadTokenizer(config.tokenizer, &why);
    if (!tokenizer) {
      *message = fmt::format("models: {}: tokenizer: {}", config.name,
                             why.empty() ? tokenizer.error().what : why);
      return Fail(tokenizer.error());
    }
    model.tokenizer = std::move(*tokenizer);
    auto chat = text::ChatTemplate::Load(FolderOf(config.tokenizer), &why);
    if (chat) {
      model.chat = std::move(*chat);
    } else if (chat.error().code != Errc::kNotFound) {
      *message = fmt::format("models: {}: chat template: {}", config.name, why);
      return Fail(chat.error());
    }
  }
  model.store = std::make_unique<text::PrefixStore>(
      *model.tokenizer,
      text::PrefixStore::Options{.max_bytes = options_.prefix_bytes, .seed = options_.seed});
  return {};
}

bool ModelTexts::Knows(std::string_view model) const {
  return models_.empty() || models_.find(model) != models_.end();
}

std::string ModelTexts::Names() const {
  std::string names;
  for (const auto& [name, model] : models_) names += (names.empty() ? "" : ", ") + name;
  return names;
}

Status ModelTexts::Render(const Model& model, const ScoreCall& call, int64_t now_s,
                          std::string* prompt, ApiError* error) const {
  const text::ChatRequest request{.messages = call.messages,
                                  .tools = call.tools,
                                  .documents = call.documents,
                                  .variables = call.template_kwargs,
                                  .add_generation_prompt = call.add_generation_prompt,
                                  .continued = call.continue_final_message ? "content" : "",
                                  .now_s = now_s};
  std::string why;
  if (!model.chat) {
    return Refuse("messages",
                  fmt::format("model {} has no chat template here; put chat_template.jinja or "
                              "tokenizer_config.json beside its tokenizer, or send a prompt",
                              call.model),
                  error);
  }
  auto rendered = model.chat->Render(request, &why);
  if (!rendered) {
    return Refuse("messages", "cannot be rendered: " + (why.empty() ? rendered.error().what : why),
                  error);
  }
  *prompt = std::move(*rendered);
  return {};
}

Status ModelTexts::Tokenize(ScoreCall* call, int64_t now_s, Effort* effort, ApiError* error) const {
  HR_CHECK(call != nullptr && effort != nullptr && error != nullptr);
  if (!Knows(call->model)) {
    return Refuse("model",
                  fmt::format("\"{}\" is not known here; the models are {}", call->model, Names()),
                  error);
  }
  if (call->input == ScoreCall::Input::kTokens) return {};
  const auto place = models_.find(call->model);
  if (place == models_.end() || place->second.tokenizer == nullptr) {
    return Refuse("model",
                  fmt::format("\"{}\" has no tokenizer here; name one under models in "
                              "--index-config, or send token_ids",
                              call->model),
                  error);
  }
  const Model& model = place->second;
  const bool chat = call->input == ScoreCall::Input::kMessages;
  if (chat) {
    const Time begin = MonotonicNow();
    HR_RETURN_IF_ERROR(Render(model, *call, now_s, &call->prompt, error));
    effort->render_seconds = SecondsSince(begin);
  }
  const Time begin = MonotonicNow();
  // A template writes its special tokens itself, as engines have it.
  auto tokens =
      model.store->Encode(call->prompt, chat ? text::Special::kNone : text::Special::kAdd);
  effort->tokenize_seconds = SecondsSince(begin);
  const char* field = chat ? "messages" : "prompt";
  if (!tokens) return Refuse(field, tokens.error().what, error);
  if (tokens->size() > options_.max_tokens) {
    return Refuse(field,
                  fmt::format("has {} tokens; at most {} may be (--index-max-tokens)",
                              tokens->size(), options_.max_tokens),
                  error);
  }
  call->tokens = std::move(*tokens);
  return {};
}

std::vector<ModelTexts::ModelStats> ModelTexts::stats() const {
  std::vector<ModelStats> all;
  for (const auto& [name, model] : models_) {
    if (model.store != nullptr) all.push_back({name, model.store->stats()});
  }
  return all;
}

}  // namespace headrace::indexer
