// Request keys: what a block of a prompt is called in the index, computed from tokens by one
// algorithm for the whole fleet. Prompts (scores) and events (ingest) must come through here alike.
// One thread; hashers are made as models are first seen.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "indexer/index.h"
#include "wire/hash.h"

namespace headrace::indexer {

class IngestKeys {
 public:
  static constexpr size_t kMaxModels = 65536;  // LoRA adapters too
  static constexpr size_t kMaxModelBytes = 512;

  // `options.model` is not looked at. Only algorithms whose chain needs no more than the 64 bits
  // that the index keeps, and that tell models, adapters and salts apart: llmd-d and xxh64. Others
  // fail with kInvalid.
  static Result<std::unique_ptr<IngestKeys>> Create(const wire::HasherOptions& options);

  uint32_t block_tokens() const { return options_.block_tokens; }

  // Of one model, or of a LoRA adapter by its name. Stays where it is as long as this object.
  // kLimit: kMaxModels, or a name that is too long.
  Result<const wire::BlockHasher*> Find(std::string_view name);

  // Keys of a prompt, for scores: `extras.lora` names the adapter and takes the model's place.
  Status PromptKeys(std::string_view model, const wire::PromptExtras& extras,
                    std::span<const uint32_t> tokens, std::vector<RequestKey>* out);

 private:
  explicit IngestKeys(const wire::HasherOptions& options) : options_(options) {}

  wire::HasherOptions options_;
  std::unordered_map<std::string, std::unique_ptr<const wire::BlockHasher>> models_;
};

}  // namespace headrace::indexer
