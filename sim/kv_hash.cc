#include "sim/kv_hash.h"

#include <utility>

namespace headrace::sim {
namespace {

using wire::BlockHash;
using wire::HashAlgo;

bool HashesTheModel(HashAlgo algo) {
  return algo == HashAlgo::kLlmdD || algo == HashAlgo::kXxh64;
}

bool IsVllm(HashAlgo algo) {
  return algo == HashAlgo::kSha256 || algo == HashAlgo::kSha256Cbor || algo == HashAlgo::kXxhash ||
         algo == HashAlgo::kXxhashCbor;
}

BlockHash OfKey(uint64_t key) {
  BlockHash hash;
  hash.size = sizeof(key);
  for (size_t i = sizeof(key); i > 0; --i, key >>= 8) hash.bytes[i - 1] = key & 0xff;
  return hash;
}

}  // namespace

KvHasher::KvHasher(const wire::HasherOptions& options, Hasher hasher)
    : options_(options),
      lora_is_model_(HashesTheModel(options.algo)),
      lora_is_key_(IsVllm(options.algo)),
      base_(std::move(hasher)) {}

Result<std::unique_ptr<KvHasher>> KvHasher::Create(const wire::HasherOptions& options) {
  HR_TRY(auto hasher, wire::BlockHasher::Create(options));
  return std::unique_ptr<KvHasher>(new KvHasher(options, std::move(hasher)));
}

const wire::BlockHasher& KvHasher::HasherOf(std::string_view lora_name) {
  if (!lora_is_model_ || lora_name.empty()) return *base_;
  const auto known = of_adapters_.find(lora_name);
  if (known != of_adapters_.end()) return *known->second;
  if (of_adapters_.size() >= kMaxAdapters) of_adapters_.clear();
  wire::HasherOptions options = options_;
  options.model = lora_name;
  auto hasher = wire::BlockHasher::Create(options);
  HR_CHECK(hasher.has_value());  // these options were good for the base model
  return *of_adapters_.emplace(lora_name, std::move(*hasher)).first->second;
}

std::vector<wire::ExtraKeys> KvHasher::Extras(const KvPrompt& prompt, size_t blocks) const {
  const bool has_lora = lora_is_key_ && !prompt.lora_name.empty();
  if (!has_lora && prompt.media.empty()) return {};
  wire::PromptExtras extras;
  if (has_lora) {
    extras.lora = {.name = std::string(prompt.lora_name), .path = std::string(prompt.lora_path)};
  }
  for (const KvMedia& part : prompt.media) {
    extras.mm.push_back({.id = part.hash, .offset = part.offset, .length = part.length});
  }
  // llm-d reads pairs of a hash and an offset, and knows no tags.
  const auto form = lora_is_key_ ? wire::ExtraKeyForm::kTagged : wire::ExtraKeyForm::kUntagged;
  return wire::PlaceExtraKeys(extras, form, options_.block_tokens, blocks);
}

void KvHasher::Hash(const KvPrompt& prompt, KvBlocks* out) {
  const wire::BlockHasher& hasher = HasherOf(prompt.lora_name);
  const size_t size = options_.block_tokens;
  const size_t blocks = prompt.tokens.size() / size;
  out->extras = Extras(prompt, blocks);
  out->hashes.clear();
  out->hashes.reserve(blocks);
  if (base_->root().size == sizeof(uint64_t)) {
    hasher.Keys(prompt.tokens, out->extras, &keys_);
    for (const uint64_t key : keys_) out->hashes.push_back(OfKey(key));
    return;
  }
  BlockHash parent;
  for (size_t i = 0; i < blocks; ++i) {
    const wire::ExtraKeys* const extra = out->extras.empty() ? nullptr : &out->extras[i];
    parent = hasher.Next(parent, prompt.tokens.subspan(i * size, size), extra);
    out->hashes.push_back(parent);
  }
}

BlockHash KvHasher::Next(const KvPrompt& prompt, uint32_t blocks, const BlockHash& parent,
                         std::span<const uint32_t> tokens, wire::ExtraKeys* extra) {
  // Where a medium's keys stand depends on those before it, so they are placed from the beginning.
  auto extras = Extras(prompt, size_t{blocks} + 1);
  *extra = extras.empty() ? wire::ExtraKeys() : std::move(extras.back());
  return HasherOf(prompt.lora_name).Next(parent, tokens, extra);
}

}  // namespace headrace::sim
