// Answers requests for replay and snapshots (docs/protocol.md). Each peer gets its answers in the
// order of its requests, as fast as it takes them; peers do not hold each other up. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
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

  enum class Progress : uint8_t {
    kIdle,     // nothing to send
    kWaiting,  // until a peer takes more, or until snapshots can be made: try again soon
    kMore,     // others should have a turn
  };
  Progress Advance(Time now, double timestamp);

  const Counts& counts() const { return counts_; }

 private:
  struct Part {  // of a replay
    std::string topic;
    uint64_t next = 0;
    uint64_t last = 0;  // when the request came
  };
  struct Job {
    EventRequest request;
    std::vector<Part> parts;
    std::shared_ptr<const EventSnapshot> snapshot;
    size_t at = 0;  // of parts, or of the snapshot's payloads
    Time moved;     // when it last got on
    bool done = false;
  };
  enum class Step : uint8_t { kSent, kFull, kNotYet, kDone, kGone };

  void Start(EventRequest request, Time now);
  Step Move(Job* job, double timestamp);
  Step MoveReplay(Job* job);
  Step MoveSnapshot(Job* job, double timestamp);
  size_t Snapshots() const;
  Step Answer(const Job& job, std::string_view topic, std::string_view third,
              std::string_view payload);
  // Sends what the peer takes now. False when the job is at its end.
  bool Serve(Job* job, Time now, double timestamp, Progress* progress);
  void End(const Job& job, Step step);

  net::ZmqSocket* const socket_;
  EventStream* const stream_;
  const EventLimits limits_;
  std::deque<Job> jobs_;
  net::ZmqMessage message_;
  Counts counts_;
};

}  // namespace headrace::server
