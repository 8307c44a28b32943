// Publishes the core's events over ZeroMQ, and answers requests for replay and snapshots, on a
// thread of its own. Takes events from the queue that an EventFeed fills; whoever is slow here or
// at the other end of a socket never holds up the core.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/loop.h"
#include "net/zmq.h"
#include "server/event_desk.h"
#include "server/event_options.h"
#include "server/event_pods.h"
#include "server/event_queue.h"
#include "server/event_stream.h"

namespace headrace::server {

// What the publisher counts, as a copy.
struct EventNumbers {
  EventCounts stream;
  EventDesk::Counts desk;
  uint64_t clients_refused = 0;
  uint64_t unsent = 0;  // messages that the socket did not take: replay has them
  std::vector<std::pair<std::string, uint64_t>> last_sequences;  // by topic
};

class EventPublisher {
 public:
  struct Config {
    EventOptions options;
    EventLimits limits;
    std::string node;  // of topics
    uint32_t max_topics = 1;
    uint64_t seed = 0;
    EventQueue* queue = nullptr;
    const PodBoard* pods = nullptr;  // null: nobody's pods are told
  };
  // Binds the endpoints. On failure `message` is the line for the user, which names the option.
  static Result<std::unique_ptr<EventPublisher>> Create(const Config& config, std::string* message);
  ~EventPublisher();  // stops the thread
  EventPublisher(const EventPublisher&) = delete;
  EventPublisher& operator=(const EventPublisher&) = delete;

  Status Start();
  // The queue or the pods have something new. The producer's thread, after it; never waits.
  void Wake();
  EventNumbers numbers() const;  // any thread

  // With the ports that were taken.
  const std::string& endpoint() const { return endpoint_; }
  const std::string& replay_endpoint() const { return replay_endpoint_; }

 private:
  EventPublisher(const Config& config, std::unique_ptr<Loop> loop, Fd wake);
  Status Open(std::string* message);
  void OnWake();
  void Drain();
  void TakePods(double timestamp);
  void Beat();
  void Pump();
  void Send(const std::string& topic, uint64_t sequence, const std::string& payload);
  void Show();

  const Config config_;
  const std::unique_ptr<Loop> loop_;
  const Fd wake_;
  std::string endpoint_;
  std::string replay_endpoint_;
  std::unique_ptr<net::ZmqContext> context_;
  std::unique_ptr<net::ZmqSocket> pub_;
  std::unique_ptr<net::ZmqSocket> router_;  // null without a replay endpoint

  // The publisher's thread.
  EventStream stream_;
  std::unique_ptr<EventDesk> desk_;
  std::unique_ptr<net::ZmqWatch> router_watch_;
  QueuedEvent event_;
  uint64_t pods_version_ = 0;  // of what `stream_` has told
  bool draining_soon_ = false;
  bool pumping_soon_ = false;
  uint64_t unsent_ = 0;

  // Shared.
  std::atomic<bool> asleep_ = true;  // the queue's consumer waits for Wake
  mutable std::mutex numbers_mutex_;
  EventNumbers numbers_;  // by numbers_mutex_
  std::thread thread_;
};

}  // namespace headrace::server
