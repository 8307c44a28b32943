// What the publisher keeps: for each topic its sequence, the messages kept for replay, and what is
// resident. Turns queued events into messages, which it hands to `send` in the order of their
// sequences. Knows no socket, no clock and no thread. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/event_batch.h"
#include "server/event_pods.h"
#include "server/event_queue.h"
#include "server/limits.h"
#include "server/resident_set.h"

namespace headrace::server {

inline constexpr uint64_t kNoSequence = UINT64_MAX;  // before the first message: it is 0 - 1

// The messages of one topic that can be sent again.
struct KeptMessage {
  uint64_t sequence = 0;
  uint64_t order = 0;  // among the messages of all topics
  std::shared_ptr<const std::string> payload;
};

// Everything resident in a topic after the message with `sequence`.
struct EventSnapshot {
  uint64_t sequence = kNoSequence;
  std::vector<std::string> payloads;
};

// Written by the publisher's thread, read by any.
struct EventCounts {
  uint64_t messages = 0;
  uint64_t stored = 0;   // blocks told
  uint64_t removed = 0;  // blocks told
  uint64_t gaps = 0;     // sequences left out, one a topic and loss
  uint64_t kept_bytes = 0;
  uint64_t forgotten = 0;  // kept messages that made room by events-buffer-bytes
  uint64_t resident = 0;   // blocks
};

class EventStream {
 public:
  struct Config {
    std::string node;
    wire::EventForm form;
    EventLimits limits;
    uint32_t max_topics = 1;
    uint64_t seed = 0;
    // The pods that a namespace's blocks count for, now; null, or without them: none are known.
    std::function<std::shared_ptr<const ServedPods>(std::string_view name_space)> pods;
    std::function<void(const std::string& topic, uint64_t sequence, const std::string& payload)>
        send;
  };
  explicit EventStream(Config config);
  ~EventStream();
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  // `timestamp`: seconds since 1970, for the messages that it makes.
  void Take(const QueuedEvent& event, double timestamp);
  // Asks `pods` of each topic's namespace, and tells what changed.
  void UpdatePods(double timestamp);
  // What waits becomes messages.
  void Flush(double timestamp);
  // A message without blocks for each topic that had none since the last call, so that who missed
  // the last ones learns it; and for each topic with pods, so that who came late learns those.
  void Beat(double timestamp);

  // While false what is known of residency is not the truth: snapshots wait.
  bool whole() const { return !retelling_; }

  std::vector<std::string> topics() const;
  uint64_t last_sequence(std::string_view topic) const;  // kNoSequence: none, or no such topic
  // The first kept message with a sequence of at least `from`, or null.
  const KeptMessage* Kept(std::string_view topic, uint64_t from) const;
  // The topic's pods, and everything resident. REQUIRES: whole(). Flushes first. Of a topic that
  // does not exist: empty.
  std::shared_ptr<const EventSnapshot> Snapshot(std::string_view topic, double timestamp);

  const EventCounts& counts() const { return counts_; }
  uint64_t resident(std::string_view topic) const;

 private:
  struct Topic;
  Topic* Find(std::string_view name) const;
  void Bind(const QueuedEvent& event, double timestamp);
  Topic* TopicOf(const QueuedEvent& event) const;
  Topic* FindOrMake(const std::string& name);
  void UpdatePods(Topic* topic, double timestamp);
  void TellPods(Topic* topic, double timestamp);
  // Of topics that no namespace has any more, the oldest go.
  void DropRetired(double timestamp);
  void Store(const QueuedEvent& event, double timestamp);
  void Send(Topic* topic, double timestamp);
  void SendIfLong(Topic* topic, double timestamp);
  void Keep(Topic* topic, std::string payload);
  void Forget(Topic* topic);
  void ForgetOldest();
  void BeginRetelling(double timestamp);
  void EndRetelling(double timestamp);

  const Config config_;
  std::map<std::string, std::unique_ptr<Topic>, std::less<>> topics_;
  std::vector<Topic*> by_name_space_;
  bool retelling_ = false;
  uint64_t binds_ = 0;
  uint64_t first_sequence_ = 0;  // of a topic's next life: above all of those that are gone
  EventCounts counts_;
};

}  // namespace headrace::server
