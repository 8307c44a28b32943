// Listens to one publisher of KV cache events, vLLM or Headrace, and hands on every message once
// and in order. What was lost is asked for where the publisher replays, and told when it stays
// lost. Loop-bound; prints nothing itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "indexer/follow.h"
#include "net/zmq.h"

namespace headrace::cli {

class EventTail {
 public:
  static constexpr size_t kMaxTopics = 4096;
  static constexpr Duration kTick = milliseconds(100);

  struct Config {
    std::string endpoint;
    std::string replay_endpoint;  // "": none
    std::string topic_filter;     // a prefix
    std::optional<net::ZmqCurve> curve;
    // Somebody watches: a gap that cannot be filled is said soon, and what follows it shown.
    indexer::FollowLimits follow{.cool_down = seconds(1), .attempts = 2, .rounds = 1};
  };
  struct Sink {
    std::function<void(const indexer::FollowMessage&)> message;
    std::function<void(const std::string& text)> note;  // one line for people
  };

  // Fails as Open and Connect of a ZmqSocket do. Loop and context outlive it.
  static Result<std::unique_ptr<EventTail>> Create(Loop* loop, net::ZmqContext* zmq, Config config,
                                                   Sink sink);
  ~EventTail();
  EventTail(const EventTail&) = delete;
  EventTail& operator=(const EventTail&) = delete;

 private:
  struct Stream;
  struct Ask;

  EventTail(Loop* loop, net::ZmqContext* zmq, Config config, Sink sink);
  Status Open();
  void OnReadable();
  void OnPeers();
  void OnTick();
  void TakeLive();

  Stream* StreamOf(std::string_view topic);  // null: too many
  void Carry(Stream* stream);
  void Show(Stream* stream, const indexer::FollowMessage& message);

  void Begin(std::unique_ptr<Ask> ask);
  Status Send(Ask* ask);
  void OnAnswer(Ask* ask);
  void TakeAnswer(Ask* ask);
  void End(Ask* ask);
  void EndOf(const Stream* stream);

  Loop* const loop_;
  net::ZmqContext* const zmq_;
  const Config config_;
  const Sink sink_;
  std::unique_ptr<net::ZmqSocket> socket_;
  std::unique_ptr<net::ZmqWatch> watch_;
  std::unique_ptr<net::ZmqWatch> peers_;
  uint64_t tick_ = 0;
  std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
  std::vector<std::unique_ptr<Ask>> asks_;
  bool silent_ = false;   // the replay endpoint: said once
  bool refused_ = false;  // a handshake: said once
  bool crowded_ = false;  // too many topics: said once
  net::ZmqMessage message_;
  net::ZmqMessage answer_;
};

}  // namespace headrace::cli
