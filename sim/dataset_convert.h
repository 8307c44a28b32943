// Conversations become a dataset: each answer a row, found by the prompt that it answered.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "sim/share_gpt.h"
#include "text/tokenizer.h"

namespace headrace::sim {

// Whether this build can open and make datasets.
bool HasDatasets();

struct ConvertOptions {
  const text::Tokenizer* tokenizer = nullptr;  // that of the simulator which will use the dataset
  std::string table = "llmd";
  // The text that the simulator makes of the messages of a chat; null: "### role: text\n" of each.
  std::function<std::string(std::span<const ChatTurn>)> chat_text;
};

struct ConvertCounts {
  uint64_t conversations = 0;
  uint64_t rows = 0;
  uint64_t skipped = 0;  // conversations that were not understood
};

// Reads ShareGPT's JSON, writes a new SQLite file. The prompt of an answer is all of the
// conversation before it; an answer to one single message is a row for the bare message, too, which
// is how benchmarks of text completion send it. As in vLLM, the tokenizer adds its special tokens
// to such a text, and none to a chat. There is no file unless all went well. `message` is the line
// for the user.
Result<ConvertCounts> ConvertShareGpt(const std::string& json_path, const std::string& dataset_path,
                                      const ConvertOptions& options, std::string* message);

}  // namespace headrace::sim
