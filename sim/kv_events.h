// Publishes the changes of one KV cache over ZeroMQ, as vLLM does, and answers who missed some, on
// a thread of its own. No event is lost on the way to the socket: who is faster than this thread
// waits for it, and it waits for nobody. A subscriber that the socket cannot serve sees that a
// sequence is missing, and asks for a replay.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "base/loop.h"
#include "net/zmq.h"
#include "sim/kv_batch.h"
#include "sim/kv_replay.h"

namespace headrace::sim {

// "kv@ip:port@model", or without a port "kv@ip@model" for readers that know no other form.
std::string KvTopic(std::string_view ip, std::optional<uint16_t> port, std::string_view model);
// The endpoint of a data-parallel rank: ports count up, other endpoints are as they were with
// ".rank" behind for each but the first. kInvalid: it is none, or has no such port.
Result<std::string> KvEndpointOfRank(const std::string& endpoint, uint32_t rank);

class KvEvents {
 public:
  struct Config {
    std::string endpoint;         // that a subscriber binds; dialled again and again until it does
    bool bind = false;            // it is bound here instead
    std::string replay_endpoint;  // bound; "": none
    size_t replay_messages = 1024;
    std::string topic;
    KvBatch::Form form;
    size_t batch_events = 16;
    size_t queue_batches = 1024;
    Duration flush = seconds(1);  // after that what has begun goes out, full or not
  };
  struct Numbers {
    uint64_t messages = 0;
    uint64_t unsent = 0;   // that the socket did not take: gaps, which replays fill
    uint64_t waits = 0;    // of the cache's thread for this one
    uint64_t replays = 0;  // answered to their end
    uint64_t replays_refused = 0;
    uint64_t replays_abandoned = 0;
  };
  // `message` is the line for the user when an endpoint is of no use: it names the flag.
  static Result<std::unique_ptr<KvEvents>> Create(const Config& config, std::string* message);
  ~KvEvents();  // what is queued still goes to the socket
  KvEvents(const KvEvents&) = delete;
  KvEvents& operator=(const KvEvents&) = delete;

  Status Start();
  // The cache's thread; the listener of KvCache.
  void Take(const KvChange& change);
  Numbers numbers() const;  // any thread

  // With the ports that were taken.
  const std::string& endpoint() const { return endpoint_; }
  const std::string& replay_endpoint() const { return replay_endpoint_; }

 private:
  KvEvents(const Config& config, std::unique_ptr<Loop> loop, Fd wake);
  Status Open(std::string* message);
  Status OpenReplay(std::string* message);
  void Wake();
  void OnWake();
  void FlushBegun();
  void Publish();
  void Pump();
  void Show();

  const Config config_;
  const std::unique_ptr<Loop> loop_;
  const Fd wake_;
  std::string endpoint_;
  std::string replay_endpoint_;
  std::unique_ptr<net::ZmqContext> context_;
  std::unique_ptr<net::ZmqSocket> pub_;
  std::unique_ptr<net::ZmqSocket> router_;  // null without a replay endpoint

  // The thread of this object.
  std::unique_ptr<KvReplay> replay_;
  std::unique_ptr<net::ZmqWatch> router_watch_;
  KvBatch batch_;
  uint64_t sequence_ = 0;  // of the next message, from 0 as vLLM's
  uint64_t unsent_count_ = 0;
  bool flushing_soon_ = false;
  bool pumping_soon_ = false;

  // Shared.
  KvQueue queue_;
  std::atomic<uint64_t> messages_ = 0;  // these are read by numbers()
  std::atomic<uint64_t> unsent_ = 0;
  std::atomic<uint64_t> replays_ = 0;
  std::atomic<uint64_t> replays_refused_ = 0;
  std::atomic<uint64_t> replays_abandoned_ = 0;
  std::thread thread_;
};

}  // namespace headrace::sim
