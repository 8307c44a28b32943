// The last messages of KV events, and answers to those who missed some. A request is
//   ["", the first sequence that is wanted, 8 bytes big-endian]
// and is answered by ["", topic, sequence, payload] for each kept message from there on, then by
// ["", "", eight bytes ff, ""]. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "net/answer_desk.h"
#include "net/zmq.h"

namespace headrace::sim {

// As it arrives at a ROUTER.
struct KvReplayRequest {
  std::string peer;
  uint64_t start = 0;
};
Result<KvReplayRequest> ParseKvReplayRequest(const net::ZmqMessage& message);

class KvReplay {
 public:
  static constexpr size_t kMaxRequests = 64;  // that wait or are being answered

  struct Counts {
    uint64_t answered = 0;   // to their end
    uint64_t abandoned = 0;  // the peer went, or did not take its answers
    uint64_t refused = 0;    // too many waited
    uint64_t malformed = 0;
  };
  // `socket` is a ROUTER with must_route that outlives this, or null: nobody asks. Keeps the last
  // `messages`.
  KvReplay(net::ZmqSocket* socket, std::string topic, size_t messages);

  // REQUIRES: sequences come one after the other.
  void Keep(uint64_t sequence, std::string payload);
  // Takes one request, if there is one.
  void Receive(Time now);
  net::AnswerDesk::Progress Advance(Time now);

  const Counts& counts() const { return counts_; }

 private:
  class Missed;
  struct Message {
    uint64_t sequence = 0;
    std::string payload;
  };
  // The first kept message from `sequence` on; null: there is none.
  const Message* Find(uint64_t sequence) const;

  net::ZmqSocket* const socket_;
  const std::string topic_;
  const size_t messages_;
  std::deque<Message> kept_;
  net::ZmqMessage message_;
  Counts counts_;
  std::unique_ptr<net::AnswerDesk> desk_;  // null without a socket
};

}  // namespace headrace::sim
