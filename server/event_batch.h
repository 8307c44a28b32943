// Events on their way into one message: runs of blocks that follow each other become one event.
// Keeps its memory from one batch to the next. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/effect.h"
#include "server/event_pods.h"
#include "server/resident_set.h"
#include "wire/event.h"

namespace headrace::server {

// "evicted", "cleared", ...: the added field of a removal.
const char* ReasonName(engine::RemoveReason reason);

class EventBatch {
 public:
  void AddStored(const ResidentSet::Block& block, uint32_t block_tokens);
  // What the blocks of the topic count for: the first event, without blocks, of the next message.
  void AddPods(const ServedPods& pods, std::string_view model, uint32_t block_tokens);
  // `reason` is a literal, or "".
  void AddRemoved(const wire::BlockHash& hash, const char* reason);

  bool empty() const { return hashes_.empty() && pods_.empty(); }
  size_t blocks() const { return hashes_.size(); }
  size_t tokens() const { return tokens_.size(); }

  // The payload of a message with all that was added, and starts anew.
  std::string Encode(double timestamp, const wire::EventForm& form);

 private:
  struct Run {
    wire::EventType type{};
    size_t first = 0;  // of hashes_
    size_t count = 0;
    size_t first_byte = 0;  // of full_hashes_
    size_t first_token = 0;
    size_t tokens_a_block = 0;
    uint8_t hash_bytes = 0;
    const char* reason = "";
    wire::BlockHash parent;
    wire::BlockHash last;
    uint32_t last_depth = 0;
    uint32_t block_tokens = 0;
    uint64_t lora_id = 0;
  };
  bool Continues(const ResidentSet::Block& block, uint32_t block_tokens) const;
  void AddHash(const wire::BlockHash& hash);
  wire::Event View(const Run& run) const;
  wire::Event PodsEvent() const;

  std::vector<Run> runs_;
  std::vector<uint64_t> hashes_;
  std::vector<uint8_t> full_hashes_;
  std::vector<uint32_t> tokens_;
  std::vector<wire::Event> events_;
  std::string pods_;  // packed; "": nothing is said of pods
  std::string pods_model_;
  uint32_t pods_block_tokens_ = 0;
};

}  // namespace headrace::server
