// Names of blocks, computed from tokens exactly as the engines and indexers of the field do it.
// docs/hashes.md gives the bytes that each algorithm hashes. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/block_hash.h"

namespace headrace::wire {

enum class HashAlgo : uint8_t {
  kSha256,      // vLLM: SHA-256 over pickle protocol 5
  kSha256Cbor,  // vLLM: SHA-256 over canonical CBOR
  kXxhash,      // vLLM: XXH3-128 over pickle
  kXxhashCbor,  // vLLM: XXH3-128 over canonical CBOR
  kLlmdA,       // llm-d 0.2 to 0.3.1: SHA-256 over CBOR, chained by the low 64 bits
  kLlmdB,       // llm-d 0.3.2 to 0.4: SHA-256 over CBOR, chained by all 32 bytes
  kLlmdC,       // llm-d, December 2025: FNV-1a-64 over CBOR, the model not in the root
  kLlmdD,       // llm-d since 0.5: FNV-1a-64 over CBOR, the model in the root
  kXxh64,       // llm-d's router: XXH64 over words
  kBlake3,      // LMCache: BLAKE3 chain
};

// "sha256", "sha256_cbor", "xxhash", "xxhash_cbor", "llmd-a" ... "llmd-d", "xxh64", "blake3".
std::optional<HashAlgo> ParseHashAlgo(std::string_view name);
std::string_view HashAlgoName(HashAlgo algo);
std::string HashAlgoNames();  // joined by ", ", for messages

// vLLM's generations differ in the form of extra keys only.
enum class ExtraKeyForm : uint8_t {
  kTagged,    // since 0.32: ("lora", name, path), ("mm", id, offset), ("cache_salt", s), ...
  kUntagged,  // before: bare values
};

// One element of a key: a text, an integer, or bytes.
using KeyAtom = std::variant<std::string, int64_t, std::vector<uint8_t>>;
// One extra key of a block: a tuple of atoms, or atoms that stand in the block's list themselves.
struct ExtraKey {
  std::vector<KeyAtom> atoms;
  bool bare = false;  // no tuple: the atoms themselves. Without atoms it makes an empty list
};
using ExtraKeys = std::vector<ExtraKey>;  // of one block; empty is "none", not an empty list

// What makes blocks differ beyond their tokens, before it is placed on blocks.
struct PromptExtras {
  struct Lora {
    std::string name, path;
  };
  struct Multimodal {
    std::string id;
    uint32_t offset = 0;  // first token of the placeholder
    uint32_t length = 0;  // tokens
  };
  std::optional<Lora> lora;
  std::vector<Multimodal> mm;
  std::string salt;
  std::vector<std::vector<uint8_t>> embeds;  // SHA-256 digests of the first blocks, one a block
};
// The extra keys of each full block, as vLLM places them: LoRA on every block, an image on those
// that it overlaps, the salt on the first.
std::vector<ExtraKeys> PlaceExtraKeys(const PromptExtras& extras, ExtraKeyForm form,
                                      uint32_t block_tokens, size_t blocks);

struct HasherOptions {
  static constexpr uint32_t kMaxBlockTokens = 1u << 16;

  HashAlgo algo = HashAlgo::kSha256Cbor;
  // PYTHONHASHSEED, or llm-d's hashSeed. Absent: the algorithm's default; the xxhash forms have
  // none (vLLM draws one at random) and fail with kInvalid.
  std::optional<std::string> seed;
  std::string model;           // the roots of kLlmdD and kXxh64
  uint32_t block_tokens = 16;  // 1 to kMaxBlockTokens
};

// Hashes one chain after another. Immutable after Create: any thread.
// Extra keys count where the peer counts them: all of them in vLLM's algorithms, images and salts
// in kLlmdD and kXxh64, none in the others.
class BlockHasher {
 public:
  // kInvalid for options that make no sense: Error::what names the field.
  static Result<std::unique_ptr<const BlockHasher>> Create(const HasherOptions& options);
  virtual ~BlockHasher() = default;

  // What the first block names as its predecessor: vLLM's NONE_HASH, llm-d's root. Its size is that
  // of every digest; 8-byte ones are big-endian.
  virtual BlockHash root() const = 0;
  // REQUIRES: tokens.size() is the block's tokens; `parent` is empty (then root()) or a digest of
  // this algorithm. `extra` may be null.
  virtual BlockHash Next(const BlockHash& parent, std::span<const uint32_t> tokens,
                         const ExtraKeys* extra) const = 0;
  // Replaces *out with the keys of all full blocks, as the 64 bits that events carry. The fast
  // path: 8-byte algorithms keep no BlockHash and allocate nothing but `out`. REQUIRES: `extras` is
  // empty or one a full block.
  virtual void Keys(std::span<const uint32_t> tokens, std::span<const ExtraKeys> extras,
                    std::vector<uint64_t>* out) const = 0;
  // The same behind `parent`, a key of this hasher. REQUIRES: root().size == 8, too.
  virtual void KeysAfter(uint64_t parent, std::span<const uint32_t> tokens,
                         std::span<const ExtraKeys> extras, std::vector<uint64_t>* out) const = 0;

  // The 64 bits that events carry: the last 8 bytes, big-endian. REQUIRES: hash.size >= 8.
  static uint64_t Low64(const BlockHash& hash);
};

}  // namespace headrace::wire
