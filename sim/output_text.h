// Texts that become outputs: cut into tokens, lengthened, ended by stop strings. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "sim/generator.h"

namespace headrace::sim {

// Of the whole text. Where the tokenizer's offsets leave a part of it out, the tokens around it
// take it. A text without tokens, or one that the tokenizer refuses, becomes an empty output.
Output Tokenized(std::string_view text, const text::Tokenizer& tokenizer);

// The first `tokens` of them stay.
void CutTo(uint32_t tokens, Output* output);

// Behind what is there, token for token.
void Append(const Output& more, Output* output);

// The output ends before the first of the strings that does not end within the first min_tokens
// tokens, and has finish reason stop then.
void CutAtStop(const Sampling& sampling, const text::Tokenizer& tokenizer, Output* output);

// How many tokens the output may have: max_tokens, or what the prompt leaves of the context.
uint32_t TokenLimit(const GenerateJob& job, uint32_t max_model_len);

// Sentences about nothing in particular, tokenized once.
class Sentences {
 public:
  explicit Sentences(const text::Tokenizer& tokenizer);

  // Random ones behind what is there, until there are exactly as many tokens.
  void Fill(uint32_t tokens, Random* random, Output* output) const;

 private:
  std::vector<Output> sentences_;  // none is without tokens
};

}  // namespace headrace::sim
