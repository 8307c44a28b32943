// Carries out what the core decided: replies to sessions, copies and cancels to the mover, dropped
// buffers, sessions that may go. Owns the copies that the mover has no room for yet.
// Loop-bound. Decides nothing and never waits.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "engine/effect.h"
#include "server/buffers.h"
#include "transport/mover.h"

namespace headrace::server {

// Where replies and news of sessions go.
class EffectSink {
 public:
  virtual ~EffectSink() = default;
  virtual void OnReply(const engine::Reply& reply) = 0;
  virtual void OnMoved(SessionId session, wire::Direction direction, uint64_t bytes) = 0;
  virtual void OnGone(SessionId session) = 0;
};

struct CarrierCounters {
  uint64_t jobs = 0;
  uint64_t held_back = 0;  // jobs that the mover had no room for at first
  uint64_t refused = 0;    // jobs that the mover would not take at all
  uint64_t stored = 0;     // blocks that became visible
  uint64_t removed = 0;    // blocks that stopped being so
};

class EffectCarrier {
 public:
  EffectCarrier(transport::Mover* mover, BufferBook* buffers, EffectSink* sink);

  // In the order: replies, copies, cancels, dropped buffers, sessions gone. Clears `effects`.
  void Carry(engine::Effects* effects);

  // Accounts for a completion of the mover, before the core hears of it. False for a ticket that
  // does not run: the core must not hear of it.
  bool OnCompletion(const wire::CopyDone& done);
  // Hands copies held back to the mover, which has room again.
  void Retry();
  // Jobs that ended without the mover: cancelled while held back, or refused. The core must hear
  // of each as a completion.
  std::vector<wire::CopyDone> TakeEnded();

  bool idle() const { return running_.empty() && held_.empty() && ended_.empty(); }
  size_t jobs_running() const { return running_.size(); }
  size_t jobs_held() const { return held_.size(); }
  const CarrierCounters& counters() const { return counters_; }

 private:
  // False when the mover's ring is full.
  bool Start(const engine::CopyJob& job);
  void Cancel(wire::Ticket ticket);

  transport::Mover* const mover_;
  BufferBook* const buffers_;
  EffectSink* const sink_;

  struct Running {
    SessionId session = 0;
    wire::Direction direction = wire::Direction::kSave;
  };
  std::unordered_map<wire::Ticket, Running> running_;  // at the mover
  std::deque<engine::CopyJob> held_;                   // bounded by the core's max_copies_in_flight
  std::vector<wire::CopyDone> ended_;
  CarrierCounters counters_;
};

}  // namespace headrace::server
