// The blocks of one engine's KV cache, without their bytes: which are there, which are in use, and
// which goes when room is needed. Every step costs the same however large the cache is. Knows no
// clock, thread or socket; what it does is told as events. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/block_table.h"
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
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // A sequence that runs: its blocks stay while it does. Never 0, never used again.
  using SequenceId = uint64_t;

  // Nothing of it is kept by reference.
  struct Sequence {
    std::span<const wire::BlockHash> hashes;  // of the prompt's full blocks
    std::span<const uint32_t> tokens;         // of the prompt
    std::span<const wire::ExtraKeys> extras;  // one a full block, or none
    int32_t lora_slot = 0;
    std::string lora_name = "";
  };

  // How many blocks of the beginning are there.
  uint32_t Match(std::span<const wire::BlockHash> hashes) const;

  // Takes the matching blocks and room for the others, or nothing. A block that another sequence
  // is filling is shared with it, but is no hit. nullopt: there is no room as long as those that
  // run do.
  struct Started {
    SequenceId id = 0;
    uint32_t hit_blocks = 0;
  };
  std::optional<Started> Start(const Sequence& sequence);
  // The blocks up to `blocks` hold their KV now: stored, and found by others from here on.
  void Filled(SequenceId sequence, uint32_t blocks);
  // A further full block of the sequence, that generated tokens fill: stored at once. False: there
  // is no room, and nothing happened. REQUIRES: what was before it is Filled.
  bool Append(SequenceId sequence, const wire::BlockHash& hash, std::span<const uint32_t> tokens,
              const wire::ExtraKeys* extra = nullptr);
  // Blocks that were filled stay, unused, until room is needed; the others go.
  void End(SequenceId sequence);

  // Everything goes, and a kCleared is told. What running sequences hold stays theirs until they
  // end, but nobody finds it any more, nor what they fill from here on.
  void Clear();

  uint32_t used_blocks() const { return used_; }  // by sequences that run
  uint32_t kept_blocks() const { return kept_; }  // filled, used or not
  uint32_t capacity() const { return capacity_; }

 private:
  using Slot = BlockTable::Slot;
  static constexpr Slot kNone = BlockTable::kNone;

  struct Block {
    wire::BlockHash hash;
    uint32_t users = 0;
    Slot before = kNone, after = kNone;  // among the unused; of a free one: the next free one
    bool filled = false;                 // holds its KV: found by others
    bool lost = false;                   // outlived a Clear: in no table
  };
  struct Running {
    SequenceId id = 0;  // 0: nobody's
    std::vector<Slot> blocks;
    uint32_t hits = 0;
    uint32_t filled = 0;
    bool lost = false;             // since a Clear nothing of it is told
    std::vector<uint32_t> tokens;  // of the blocks behind the hits; while somebody listens
    std::vector<wire::ExtraKeys> extras;
    int32_t lora_slot = 0;
    std::string lora_name;
  };

  Running* Find(SequenceId id);
  Running* NewRunning();
  Slot Lookup(const wire::BlockHash& hash) const;
  bool HasRoom(std::span<const wire::BlockHash> hashes) const;
  void Use(Slot slot);
  void Release(Slot slot);
  Slot Take(const wire::BlockHash& hash, bool lost);
  Slot MakeRoom();
  void TellEvicted();
  void TellStored(const Running& running, uint32_t begin, uint32_t end);
  void Remember(Running* running, const Sequence& sequence);
  // The list of the unused, the least recently used first.
  void PushUnused(Slot slot);
  void DropUnused(Slot slot);

  const uint32_t capacity_;
  const uint32_t block_tokens_;
  const Listener listener_;
  std::vector<Block> blocks_;
  BlockTable table_;  // blocks that are filled, or being filled
  Slot free_ = kNone;
  Slot oldest_ = kNone, newest_ = kNone;  // of the unused
  uint32_t free_count_ = 0;
  uint32_t unused_count_ = 0;
  uint32_t used_ = 0;
  uint32_t kept_ = 0;

  std::vector<Running> running_;
  std::vector<uint32_t> idle_running_;  // places in it
  uint64_t started_ = 0;
  std::vector<wire::BlockHash> told_;  // of one change
};

}  // namespace headrace::sim
