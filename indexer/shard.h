// Which of several index replicas owns a prompt: the one that keeps its blocks, and so the only one
// that can score it. Replicas, clients and servers compute it alike, each for itself, from the same
// list of names; docs/scale.md gives the arithmetic and what happens when a replica dies. Pure, and
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace headrace::indexer {

class ShardMap {
 public:
  static constexpr size_t kMaxReplicas = 1024;
  static constexpr uint32_t kMaxFirstBlocks = 64;
  static constexpr size_t kMaxNameBytes = 512;

  struct Options {
    // One a replica, all different. What a name is worth does not depend on its place in the list:
    // a list in another order, or with one more name, leaves all other prompts where they are.
    std::vector<std::string> replicas;
    // A prompt's owner is decided by the key of this block, counted from 1, or of its last one if
    // it has fewer: keys chain, so that all the blocks before it count. More spread prompts that
    // begin alike over more replicas; blocks before this one (the stem) are kept by every replica.
    // 0: nothing is split, each replica keeps everything and any can answer.
    uint32_t first_blocks = 4;
  };
  // kInvalid: no name, an empty one, or one twice. kLimit: too many, or too long.
  static Result<ShardMap> Create(Options options);

  size_t size() const { return replicas_.size(); }
  const std::string& name(size_t replica) const { return options_.replicas.at(replica); }
  uint32_t first_blocks() const { return options_.first_blocks; }
  bool whole() const { return options_.first_blocks == 0; }

  // Whom to ask for the score of a prompt with these keys, as a position in the list. Any replica
  // answers alike for prompts that have no more than the stem, and when whole(); this one is then
  // chosen so that load spreads.
  size_t OwnerOf(std::span<const uint64_t> keys) const;
  // The same, and whom to ask when those before do not answer. When the index is split, and the
  // prompt is longer than the stem, there is nobody else: the list has one entry, and a replica
  // that does not answer means "nothing known", never "ask another one". Replaces *out.
  void Ask(std::span<const uint64_t> keys, std::vector<size_t>* out) const;

  // Of one block: its key, and its position in the prompt from 0 on.
  bool InStem(size_t position) const { return position + 1 < options_.first_blocks; }
  // The owner of all blocks of a chain, by the key of the block behind its stem.
  size_t OwnerOfKey(uint64_t deciding_key) const;

 private:
  explicit ShardMap(Options options);
  uint64_t DecidingKey(std::span<const uint64_t> keys) const;

  Options options_;
  std::vector<uint64_t> replicas_;  // hashes of the names
};

}  // namespace headrace::indexer
