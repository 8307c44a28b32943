// One client connection: its socket, its bytes in and out, and what is known about the client.
// Loop-bound. Knows no message; never blocks. The socket stays open until the object goes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/fd.h"
#include "base/time.h"
#include "engine/types.h"
#include "server/frame_reader.h"
#include "server/limits.h"
#include "wire/control.h"

namespace headrace::server {

using engine::RequestId;
using engine::SessionId;

inline constexpr uint32_t kNobody = 0xffffffff;  // uid of a peer on TCP, which proves none

struct Peer {
  bool local = false;  // a unix socket: credentials are proved and descriptors can pass
  uint32_t uid = kNobody;
  int pid = 0;
};

// What /instances shows of one session.
struct SessionCounts {
  uint64_t leases_granted = 0;
  uint64_t saved_bytes = 0;
  uint64_t loaded_bytes = 0;
};

class Session {
 public:
  Session(SessionId id, Fd fd, Peer peer, const SessionLimits& limits);

  SessionId id() const { return id_; }
  int fd() const { return fd_.get(); }
  const Peer& peer() const { return peer_; }
  FrameReader& reader() { return reader_; }
  const FrameReader& reader() const { return reader_; }

  void Queue(const wire::ReplyFrame& frame);
  enum class Flushed : uint8_t { kAll, kSome, kBroken };
  Flushed Flush();
  size_t unsent_bytes() const { return out_.size() - out_begin_; }

  // A request with a number runs from Begin to End. Begin is false when that number runs already.
  bool Begin(RequestId request, Time start);
  std::optional<Time> End(RequestId request);
  size_t running() const { return running_.size() + (current_ ? 1 : 0); }

  enum class State : uint8_t {
    kGreeting,  // no hello yet; the core does not know it
    kOpen,
    kClosing,  // hung up or put out; waits for the fence of its copies
  };
  State state = State::kGreeting;
  std::string instance;
  std::string client;
  SessionCounts counts;
  std::unordered_map<uint32_t, std::string> name_spaces;  // by registration

  Time since;  // connected at

  // Of the table alone.
  bool hung_up = false;      // no more bytes will come
  bool in_ready = false;     // in the list of sessions with frames left
  bool in_unsent = false;    // in the list of sessions with output
  bool wants_write = false;  // watched for room in the socket

 private:
  const SessionId id_;
  const Fd fd_;
  const Peer peer_;
  FrameReader reader_;
  std::string out_;
  size_t out_begin_ = 0;

  // The request that arrived last is kept apart: most are answered before the next one begins.
  struct Running {
    RequestId request = 0;
    Time start;
  };
  std::optional<Running> current_;
  std::unordered_map<RequestId, Time> running_;
};

}  // namespace headrace::server
