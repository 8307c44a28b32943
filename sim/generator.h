// What is answered: an echo of the prompt, random sentences, or a conversation of a dataset. The
// same seed and the same requests give the same answers. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/random.h"
#include "base/result.h"
#include "sim/request.h"
#include "text/tokenizer.h"

namespace headrace::sim {

// One prompt of a request, with its tokens.
struct GenerateJob {
  const Prompt* prompt = nullptr;
  const std::vector<uint32_t>* prompt_ids = nullptr;
  const Sampling* sampling = nullptr;
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual Output Make(const GenerateJob& job) = 0;
};

struct GeneratorOptions {
  uint64_t seed = 0;
  uint32_t max_model_len = 1024;
  const text::Tokenizer* tokenizer = nullptr;  // outlives the generator
};
std::unique_ptr<Generator> MakeEchoGenerator(const GeneratorOptions& options);
std::unique_ptr<Generator> MakeRandomGenerator(const GeneratorOptions& options);

struct DatasetOptions {
  std::string path;
  std::string table = "llmd";
  bool in_memory = false;
};
// `message` is the line for the user: what is wrong with the file, and with which of its columns.
Result<std::unique_ptr<Generator>> OpenDataset(const GeneratorOptions& options,
                                               const DatasetOptions& dataset, std::string* message);

}  // namespace headrace::sim
