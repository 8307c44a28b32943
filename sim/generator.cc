#include "sim/generator.h"

#include <algorithm>

#include "sim/output_text.h"
#include "sim/random_length.h"

namespace headrace::sim {

namespace {

// "1,22,333"
std::string Joined(const std::vector<uint32_t>& ids) {
  std::string text;
  for (const uint32_t id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  }
  return text;
}

class EchoGenerator final : public Generator {
 public:
  explicit EchoGenerator(const GeneratorOptions& options) : tokenizer_(*options.tokenizer) {}

  Output Make(const GenerateJob& job) override {
    const Prompt& prompt = *job.prompt;
    const bool of_ids = prompt.echo.empty() && prompt.text.empty() && !prompt.ids.empty();
    const std::string joined = of_ids ? Joined(prompt.ids) : "";
    Output output = Tokenized(of_ids ? joined : prompt.echo, tokenizer_);
    const auto& max = job.sampling->max_tokens;
    const auto tokens = static_cast<int64_t>(output.ids.size());
    output.finish = max && tokens >= *max ? FinishReason::kLength : FinishReason::kStop;
    CutAtStop(*job.sampling, tokenizer_, &output);
    return output;
  }

 private:
  const text::Tokenizer& tokenizer_;
};

class RandomGenerator final : public Generator {
 public:
  explicit RandomGenerator(const GeneratorOptions& options)
      : tokenizer_(*options.tokenizer),
        max_model_len_(options.max_model_len),
        sentences_(tokenizer_),
        random_(options.seed) {}

  Output Make(const GenerateJob& job) override {
    const uint32_t limit = TokenLimit(job, max_model_len_);
    const uint32_t tokens = Length(*job.sampling, limit);
    Output output;
    sentences_.Fill(tokens, &random_, &output);
    output.finish = tokens == limit ? FinishReason::kLength : FinishReason::kStop;
    CutAtStop(*job.sampling, tokenizer_, &output);
    return output;
  }

 private:
  uint32_t Length(const Sampling& sampling, uint32_t limit) {
    if (sampling.ignore_eos) return limit;
    const uint32_t drawn =
        sampling.max_tokens ? LengthUpTo(limit, &random_) : LengthWithin(limit, &random_);
    return std::max(drawn, std::min(sampling.min_tokens, limit));
  }

  const text::Tokenizer& tokenizer_;
  const uint32_t max_model_len_;
  const Sentences sentences_;
  Random random_;
};

}  // namespace

std::unique_ptr<Generator> MakeEchoGenerator(const GeneratorOptions& options) {
  return std::make_unique<EchoGenerator>(options);
}

std::unique_ptr<Generator> MakeRandomGenerator(const GeneratorOptions& options) {
  return std::make_unique<RandomGenerator>(options);
}

}  // namespace headrace::sim
