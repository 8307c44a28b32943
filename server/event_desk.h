// Answers requests for replay and snapshots (docs/protocol.md) from what the stream keeps. One
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "net/answer_desk.h"
#include "net/zmq.h"
#include "server/event_parse.h"
#include "server/event_stream.h"
#include "server/limits.h"

namespace headrace::server {

class EventDesk {
 public:
  struct Counts {
    uint64_t replays = 0;    // answered to their end
    uint64_t snapshots = 0;  // answered to their end
    uint64_t refused = 0;    // too many waited
    uint64_t malformed = 0;
    uint64_t abandoned = 0;  // the peer went or did not take its answers
  };
  // `socket` is a ROUTER with must_route. Both outlive the desk.
  EventDesk(net::ZmqSocket* socket, EventStream* stream, const EventLimits& limits);

  // Takes one message, if there is one.
  void Receive(Time now);

  // kWaiting also until snapshots can be made.
  using Progress = net::AnswerDesk::Progress;
  Progress Advance(Time now, double timestamp);

  const Counts& counts() const { return counts_; }

 private:
  class Replay;
  class Snapshot;

  std::unique_ptr<net::Answers> AnswersTo(const EventRequest& request);
  // Null: not now.
  std::shared_ptr<const EventSnapshot> MakeSnapshot(std::string_view topic);

  net::ZmqSocket* const socket_;
  EventStream* const stream_;
  const EventLimits limits_;
  net::AnswerDesk desk_;
  std::vector<std::weak_ptr<const EventSnapshot>> snapshots_;  // that are being sent
  double timestamp_ = 0;                                       // of this Advance
  net::ZmqMessage message_;
  Counts counts_;
};

}  // namespace headrace::server
