// Answers requests that arrive at a ROUTER with many messages each: every peer gets its answers in
// the order of its requests, as fast as it takes them, and peers do not hold each other up. One
// thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "net/zmq.h"

namespace headrace::net {

// The messages that answer one request, one after the other.
class Answers {
 public:
  virtual ~Answers() = default;

  // Frames behind the peer's identity and an empty one. Views are good until the next call.
  struct Message {
    std::string_view topic;
    std::string_view sequence;
    std::string_view payload;
    bool last = false;  // of this request
  };
  // The next one, again and again until Sent. False: it is not known yet, ask again soon.
  virtual bool Next(Message* message) = 0;
  virtual void Sent() = 0;
  // The last one was sent; or the peer is gone, or takes nothing any more.
  virtual void Ended(bool whole) = 0;
};

class AnswerDesk {
 public:
  // `socket` is a ROUTER with must_route, and outlives the desk. A peer that takes nothing for
  // `patience` gets no more answers to that request.
  AnswerDesk(ZmqSocket* socket, Duration patience);

  void Add(std::string peer, std::unique_ptr<Answers> answers, Time now);
  // One message at once, beside the answers; lost when the peer does not take it.
  void Refuse(std::string_view peer, const Answers::Message& message);

  enum class Progress : uint8_t {
    kIdle,     // nothing to send
    kWaiting,  // until a peer takes more, or until answers are known: try again soon
    kMore,     // others should have a turn
  };
  Progress Advance(Time now);

  size_t waiting() const { return jobs_.size(); }  // requests, not answered to their end

 private:
  struct Job {
    std::string peer;
    std::unique_ptr<Answers> answers;
    Time moved;  // when it last got on
    bool done = false;
  };
  enum class Step : uint8_t { kSent, kFull, kNotYet, kDone, kGone };

  Step Move(const Job& job);
  Step Send(std::string_view peer, const Answers::Message& message);
  // Sends what the peer takes now. False when the job is at its end.
  bool Serve(Job* job, Time now, Progress* progress);

  ZmqSocket* const socket_;
  const Duration patience_;
  std::deque<Job> jobs_;
};

}  // namespace headrace::net
