#include "sim/output_text.h"

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace headrace::sim {

namespace {

// Each ends with the space before the next one, so that they join as they were tokenized.
constexpr std::string_view kSentences[] = {
    "The morning train was late, but nobody on the platform seemed to mind. ",
    "A small garden behind the library grows more mint than anyone can use. ",
    "She wrote the address on a napkin and put it into her coat. ",
    "Rain is expected in the valley until the end of the week. ",
    "There are two ways across the river, and both of them are slow. ",
    "He counted the boxes again and found one more than before. ",
    "Our neighbours keep bees on the roof of an old bakery. ",
    "Please leave the key under the blue pot when you go. ",
    "Nothing in the report explains why the clock stopped at noon. ",
    "Most of the paint dried overnight, except for the door. ",
    "With a little patience, the soup will taste better tomorrow. ",
};

}  // namespace

Output Tokenized(std::string_view text, const text::Tokenizer& tokenizer) {
  Output output;
  auto made = tokenizer.EncodeWithOffsets(text, text::Special::kNone);
  if (!made || made->ids.empty()) return output;
  output.text = text;
  output.ids = std::move(made->ids);
  output.ends.reserve(output.ids.size());
  const auto size = static_cast<uint32_t>(text.size());
  uint32_t end = 0;
  for (const text::ByteSpan& span : made->offsets) {
    end = std::clamp(span.end, end, size);
    output.ends.push_back(end);
  }
  output.ends.back() = size;
  return output;
}

void CutTo(uint32_t tokens, Output* output) {
  if (tokens >= output->ids.size()) return;
  output->ids.resize(tokens);
  output->ends.resize(tokens);
  output->text.resize(tokens == 0 ? 0 : output->ends.back());
}

void Append(const Output& more, Output* output) {
  const auto begin = static_cast<uint32_t>(output->text.size());
  output->text += more.text;
  output->ids.insert(output->ids.end(), more.ids.begin(), more.ids.end());
  for (const uint32_t end : more.ends) output->ends.push_back(begin + end);
}

void CutAtStop(const Sampling& sampling, const text::Tokenizer& tokenizer, Output* output) {
  if (sampling.stop.empty() || output->ids.size() < sampling.min_tokens) return;
  const size_t safe = sampling.min_tokens == 0 ? 0 : output->ends[sampling.min_tokens - 1];
  size_t cut = std::string::npos;
  std::string found;
  for (const std::string& stop : sampling.stop) {
    if (stop.empty()) continue;
    const size_t from = safe < stop.size() ? 0 : safe - stop.size() + 1;
    const size_t at = output->text.find(stop, from);
    if (at >= cut) continue;
    cut = at;
    found = stop;
  }
  if (cut == std::string::npos) return;
  const auto whole = std::upper_bound(output->ends.begin(), output->ends.end(), cut);
  const auto tokens = static_cast<uint32_t>(whole - output->ends.begin());
  const size_t begin = tokens == 0 ? 0 : output->ends[tokens - 1];
  if (begin == cut) {
    CutTo(tokens, output);
  } else {
    *output = Tokenized(std::string_view(output->text).substr(0, cut), tokenizer);
  }
  output->finish = FinishReason::kStop;
  output->stop = std::move(found);
}

uint32_t TokenLimit(const GenerateJob& job, uint32_t max_model_len) {
  if (const auto max = job.sampling->max_tokens) {
    return static_cast<uint32_t>(std::clamp<int64_t>(*max, 0, max_model_len));
  }
  const size_t prompt = std::min<size_t>(job.prompt_ids->size(), max_model_len);
  return max_model_len - static_cast<uint32_t>(prompt);
}

Sentences::Sentences(const text::Tokenizer& tokenizer) {
  for (const std::string_view sentence : kSentences) {
    Output made = Tokenized(sentence, tokenizer);
    if (!made.ids.empty()) sentences_.push_back(std::move(made));
  }
  if (!sentences_.empty()) return;
  // A tokenizer that knows none of it: something has to be said.
  sentences_.push_back(Output{.text = ".", .ids = {0}, .ends = {1}});
}

void Sentences::Fill(uint32_t tokens, Random* random, Output* output) const {
  if (output->ids.size() >= tokens) return;
  output->ids.reserve(tokens);
  output->ends.reserve(tokens);
  while (output->ids.size() < tokens) Append(sentences_[random->Below(sentences_.size())], output);
  CutTo(tokens, output);
}

}  // namespace headrace::sim
