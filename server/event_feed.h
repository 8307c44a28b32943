// The core's end of event publishing: turns the core's events into entries of the queue. When the
// queue is full it drops, counts, and when there is room again tells the publisher that events are
// missing and what is there: kLost, every resident block by a walk in slices with events in between
// in their order, kWhole. The core's thread; never waits.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "server/event_queue.h"
#include "wire/slot_header.h"

namespace headrace::server {

class EventFeed {
 public:
  struct Parts {
    EventQueue* queue = nullptr;
    const engine::Engine* engine = nullptr;
    // Of the pool's metadata, which the core's thread writes.
    std::span<const wire::NamespaceRecord> namespaces;
    // The queue has something; called after one or more entries. Must not wait.
    std::function<void()> wake;
    bool token_ids = false;  // else they are left behind
  };
  explicit EventFeed(Parts parts);

  // Takes the token ids out of the events and leaves the rest.
  void Push(std::vector<engine::BlockEvent>* events);

  // After a loss: one slice of telling anew. True when more can be done at once.
  bool Advance();
  bool behind() const { return state_ != State::kFlowing; }

  uint64_t dropped() const { return dropped_; }  // events
  uint64_t losses() const { return losses_; }    // times that the queue was full

 private:
  // False when the queue is full.
  bool PushOne(engine::BlockEvent* event);
  bool PushEntry(QueuedEvent* entry);
  // Tells the namespace's name when it has another one than the publisher knows.
  bool TellTopic(engine::NamespaceId name_space);
  void Lose(uint64_t events);
  bool Walk();

  const Parts parts_;
  struct Told {
    uint64_t generation = 0;
    uint32_t block_tokens = 0;
    bool told = false;
  };
  std::vector<Told> told_;  // by namespace
  std::vector<std::string> names_;

  enum class State : uint8_t {
    kFlowing,
    kWaiting,  // for room to tell anew
    kWalking,
  };
  State state_ = State::kFlowing;
  engine::BlockIndex walk_next_ = 0;
  uint64_t dropped_ = 0;
  uint64_t losses_ = 0;
};

}  // namespace headrace::server
