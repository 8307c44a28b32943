// The blocks of one engine's KV cache, without their bytes: which are there, which are in use, and
// which goes when room is needed. Every step costs the same however large the cache is. Knows no
// clock, thread or socket; what it does is told as events. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wire/block_hash.h"
#include "wire/hash.h"

namespace headrace::sim {

// What was stored or removed, in order: the blocks of one call follow each other in a chain.
struct KvChange {
  enum class Kind : uint8_t { kStored, kRemoved, kCleared };
  Kind kind = Kind::kStored;
  std::span<const wire::BlockHash> hashes;
  const wire::BlockHash* parent = nullptr;  // null: the first block follows nothing
  std::span<const uint32_t> tokens;         // of kStored: those of all the blocks
  std::span<const wire::ExtraKeys> extras;  // of kStored: one a block, or none
  int32_t lora_slot = 0;                    // 0: none
  std::string lora_name = "";
};

class KvCache {
 public:
  using Listener = std::function<void(const KvChange&)>;

  struct Options {
    uint32_t blocks = 1024;
    uint32_t block_tokens = 16;
    Listener listener;  // null: nobody listens
  };
  explicit KvCache(Options options);
  ~KvCache();

  // A sequence that runs: its blocks stay while it does.
  using SequenceId = uint64_t;

  struct Sequence {
    std::span<const wire::BlockHash> hashes;  // of the prompt's full blocks
    std::span<const uint32_t> tokens;         // of the prompt
    std::span<const wire::ExtraKeys> extras;
    int32_t lora_slot = 0;
    std::string lora_name = "";
  };

  // How many blocks of the beginning are there.
  uint32_t Match(std::span<const wire::BlockHash> hashes) const;

  // Takes the matching blocks and room for the others, or nothing. nullopt: there is no room as
  // long as those that run do.
  struct Started {
    SequenceId id = 0;
    uint32_t hit_blocks = 0;
  };
  std::optional<Started> Start(const Sequence& sequence);
  // The blocks up to `blocks` hold their KV now: stored, and found by others from here on.
  void Filled(SequenceId sequence, uint32_t blocks);
  // A further full block of the sequence, that generated tokens fill. False: there is no room.
  bool Append(SequenceId sequence, const wire::BlockHash& hash, std::span<const uint32_t> tokens);
  // Blocks that were filled stay, unused, until room is needed; the others go.
  void End(SequenceId sequence);

  // Everything that no sequence uses goes, and a kCleared is told.
  void Clear();

  uint32_t used_blocks() const;  // by sequences that run
  uint32_t kept_blocks() const;  // filled, used or not
  uint32_t capacity() const;
};

}  // namespace headrace::sim
