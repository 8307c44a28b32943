// From a prompt to the names of its full blocks, and to the extra keys that events tell of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/hash.h"

namespace headrace::sim {

// A piece of a prompt that is no text, once its place among the tokens is known.
struct KvMedia {
  std::string hash;
  uint32_t offset = 0;  // its first token
  uint32_t length = 0;  // in tokens
};

struct KvPrompt {
  std::span<const uint32_t> tokens;
  std::span<const KvMedia> media;
  std::string_view lora_name;  // "": none
  std::string_view lora_path;
};

struct KvBlocks {
  std::vector<wire::BlockHash> hashes;
  std::vector<wire::ExtraKeys> extras;  // one a block; empty when no block has any
};

// A LoRA adapter makes other blocks of the same tokens: where the algorithm hashes the model, the
// adapter's name stands in its place; in vLLM's algorithms it is an extra key. One thread.
class KvHasher {
 public:
  static constexpr size_t kMaxAdapters = 64;  // whose hashers are remembered

  // kInvalid for options that make no sense: Error::what names the field.
  static Result<std::unique_ptr<KvHasher>> Create(const wire::HasherOptions& options);

  // Replaces *out.
  void Hash(const KvPrompt& prompt, KvBlocks* out);

  // The block behind the first `blocks`, of which `parent` is the last one's hash, or empty:
  // `tokens` fill it, some of the prompt and some generated. REQUIRES: a block's tokens.
  wire::BlockHash Next(const KvPrompt& prompt, uint32_t blocks, const wire::BlockHash& parent,
                       std::span<const uint32_t> tokens, wire::ExtraKeys* extra);

 private:
  using Hasher = std::unique_ptr<const wire::BlockHasher>;
  KvHasher(const wire::HasherOptions& options, Hasher hasher);
  const wire::BlockHasher& HasherOf(std::string_view lora_name);
  std::vector<wire::ExtraKeys> Extras(const KvPrompt& prompt, size_t blocks) const;

  const wire::HasherOptions options_;
  const bool lora_is_model_;
  const bool lora_is_key_;
  const Hasher base_;
  std::map<std::string, Hasher, std::less<>> of_adapters_;
  std::vector<uint64_t> keys_;
};

}  // namespace headrace::sim
