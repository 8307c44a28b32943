// From a prompt or a chat to token ids, for each model that the configuration gives a tokenizer:
// owns tokenizers, chat templates and the stores of prefixes. Made once; Tokenize from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "indexer/api_json.h"
#include "indexer/config.h"
#include "text/chat_template.h"
#include "text/prefix_store.h"
#include "text/tokenizer.h"

namespace headrace::indexer {

class ModelTexts {
 public:
  struct Options {
    uint64_t prefix_bytes = 256u << 20;  // of one model's store
    uint64_t seed = 0;                   // random: prompts come from outside
    uint32_t max_tokens = 1u << 20;      // of one prompt
  };

  // "bytes" as a tokenizer's name is the byte tokenizer. On failure `*message` names the model.
  static Result<std::unique_ptr<ModelTexts>> Create(const std::vector<ModelConfig>& models,
                                                    const Options& options, std::string* message);
  // For tests: one model with a tokenizer that is given.
  static std::unique_ptr<ModelTexts> Of(const std::string& model,
                                        std::unique_ptr<text::Tokenizer> tokenizer,
                                        const Options& options);

  // Without any models, every model is known; prompts still need a tokenizer.
  bool Knows(std::string_view model) const;
  std::string Names() const;  // joined by ", ", for messages

  // What it took, for metrics. Durations are 0 where nothing was done.
  struct Effort {
    double render_seconds = 0;
    double tokenize_seconds = 0;
  };
  // Sets call->tokens, unless the call brought them; on failure `*error` names the field. `now_s`
  // is the wall clock, as templates tell it.
  Status Tokenize(ScoreCall* call, int64_t now_s, Effort* effort, ApiError* error) const;

  struct ModelStats {
    std::string model;
    text::PrefixStore::Stats store;
  };
  std::vector<ModelStats> stats() const;  // of the models that have a tokenizer

 private:
  struct Model {
    std::unique_ptr<text::Tokenizer> tokenizer;  // null: token ids only
    std::unique_ptr<text::PrefixStore> store;    // of the tokenizer
    std::optional<text::ChatTemplate> chat;
  };

  explicit ModelTexts(const Options& options) : options_(options) {}
  Status Load(const ModelConfig& config, std::string* message);
  Status Render(const Model& model, const ScoreCall& call, int64_t now_s, std::string* prompt,
                ApiError* error) const;

  const Options options_;
  std::map<std::string, Model, std::less<>> models_;
};

}  // namespace headrace::indexer
