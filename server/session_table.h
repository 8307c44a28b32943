// All connections: reads frames fairly, queues and sends replies, notices hang-ups, puts out
// clients that break the rules. A connection goes in two steps, so that its socket stays open
// until no copy can touch the client's memory: OnClosing, then Remove by the host.
// Loop-bound. The host is never called from Queue, so that it may queue from anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "server/session.h"

namespace headrace::server {

// What the owner of the table does with what it reads.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // One whole frame, without its length. `payload` is valid during the call.
  virtual void OnFrame(Session& session, std::span<const uint8_t> payload) = 0;
  // The stream cannot go on: says so to the client before it is put out.
  virtual void OnBadStream(Session& session, const Error& error) = 0;
  // No request will follow. The host calls Remove once the session's copies are fenced.
  virtual void OnClosing(Session& session) = 0;
};

struct SessionCounters {
  uint64_t accepted = 0;
  uint64_t refused = 0;  // over max_connections
  uint64_t frames = 0;
  uint64_t bad_streams = 0;     // framing errors
  uint64_t put_out = 0;         // for any reason
  uint64_t overflowed = 0;      // left too much unread
  uint64_t hello_timeouts = 0;  // said nothing
  uint64_t closed_descriptors = 0;
};

class SessionTable {
 public:
  SessionTable(Loop* loop, const SessionLimits& limits, SessionHost* host);
  ~SessionTable();

  void Add(Fd fd, const Peer& peer);
  Session* Find(SessionId id);  // null when it is gone or closing
  void ForEach(const std::function<void(const Session&)>& visit) const;
  size_t size() const { return sessions_.size(); }

  void Queue(Session& session, const wire::ReplyFrame& frame);
  // Ends a session by the server's will; what was queued is sent first where the socket has room.
  void PutOut(Session& session);
  void Remove(SessionId id);

  // Sends what was queued; puts out whom that concerns. At the end of every turn's work.
  void Flush();
  // Serves sessions with frames left over; true while there are more.
  bool ServeReady();

  const SessionCounters& counters() const { return counters_; }

 private:
  void OnEvents(SessionId id, uint32_t events);
  void ServeFrames(Session& session);
  void Close(Session& session);
  void FlushOne(Session& session);
  void SweepGreeting();

  Loop* const loop_;
  const SessionLimits limits_;
  SessionHost* const host_;
  SessionId next_id_ = 1;
  std::unordered_map<SessionId, std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Session>> removed_;  // freed at the end of the turn
  std::vector<SessionId> ready_;
  std::vector<SessionId> unsent_;
  uint64_t sweep_timer_ = 0;
  SessionCounters counters_;
};

}  // namespace headrace::server
