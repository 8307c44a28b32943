// What goes from the core's thread to the publisher's, in the order in which it happened: a bounded
// queue of one producer and one consumer, without locks. What is lost when it is full, EventFeed
// makes good.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/effect.h"

namespace headrace::server {

struct QueuedEvent {
  enum class Kind : uint8_t {
    kTopic,     // `name_space` has this name and block size from here on
    kStored,    // a block became visible
    kRemoved,   // a block stopped being so
    kLost,      // events are missing before this one; what is there will be told anew
    kResident,  // a block that is there, after kLost
    kWhole,     // all that was there has been told
  };
  Kind kind = Kind::kStored;
  engine::RemoveReason reason{};
  engine::NamespaceId name_space = 0;
  uint32_t block_tokens = 0;
  uint32_t depth = 0;
  engine::BlockHash hash;
  engine::BlockHash parent;
  uint64_t lora_id = 0;
  std::vector<uint32_t> tokens;
  std::string name;

  uint64_t outside_bytes() const { return tokens.size() * sizeof(uint32_t) + name.size(); }
};

class EventQueue {
 public:
  // Room for at least `events` (a power of two is taken), and `bytes` of token ids in them.
  EventQueue(uint32_t events, uint64_t bytes);

  // Producer. False when full; `event` is then as it was.
  bool TryPush(QueuedEvent* event);
  // Consumer. False when empty.
  bool TryPop(QueuedEvent* event);

  // A moment's truth when the other end is at work; any thread.
  uint64_t size() const;
  uint64_t capacity() const { return mask_ + 1; }
  uint64_t room() const { return capacity() - size(); }

 private:
  const uint64_t mask_;
  const uint64_t max_bytes_;
  const std::unique_ptr<QueuedEvent[]> events_;
  alignas(64) std::atomic<uint64_t> pushed_ = 0;  // written by the producer
  std::atomic<uint64_t> bytes_in_ = 0;
  alignas(64) std::atomic<uint64_t> popped_ = 0;  // written by the consumer
  std::atomic<uint64_t> bytes_out_ = 0;
};

}  // namespace headrace::server
