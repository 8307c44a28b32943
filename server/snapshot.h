// What the core shows to other threads: a copy of its numbers, and the board that hands it over.
// The core writes, HTTP reads; a core that does not answer holds nobody up.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/time.h"
#include "engine/stats.h"
#include "server/effects.h"
#include "server/requests.h"
#include "server/session_table.h"
#include "transport/mover.h"

namespace headrace::server {

struct SessionInfo {
  SessionId id = 0;
  std::string instance;
  std::string client;
  Peer peer;
  bool closing = false;
  uint64_t running = 0;  // requests without an answer yet
  SessionCounts counts;
  std::vector<std::string> name_spaces;  // one for each registration
};

struct LoopCounters {
  uint64_t turns = 0;
  double busy_seconds = 0;
  double longest_turn_seconds = 0;
  double longest_apply_seconds = 0;
  const char* longest_apply = "none";  // the command
  uint64_t commands = 0;
};

// What event publishing counted, at both ends of its queue.
struct EventTotals {
  uint64_t dropped = 0;  // events that found the queue full
  uint64_t losses = 0;   // times that this happened
  uint64_t queue_depth = 0;
  uint64_t published = 0;  // blocks told, stored or removed
  uint64_t messages = 0;
  uint64_t unsent = 0;
  uint64_t gaps = 0;
  uint64_t kept_bytes = 0;
  uint64_t forgotten = 0;
  uint64_t resident = 0;
  uint64_t replays = 0;
  uint64_t snapshots = 0;
  uint64_t refused = 0;
  uint64_t malformed = 0;
  uint64_t abandoned = 0;
  uint64_t clients_refused = 0;
};

struct Snapshot {
  Time taken;
  bool draining = false;
  engine::Stats engine;
  transport::MoverStats mover;
  SessionCounters sessions;
  RequestCounters requests;
  CarrierCounters carrier;
  LoopCounters loop;
  uint64_t accept_pauses = 0;
  uint64_t connections = 0;
  uint64_t open_sessions = 0;
  uint64_t jobs_running = 0;
  uint64_t jobs_held = 0;
  uint64_t buffers = 0;
  EventTotals events;
  std::vector<SessionInfo> session_list;
};

class SnapshotBoard {
 public:
  // `ask` makes the core publish soon; it must not block.
  void SetAsk(std::function<void()> ask);
  void Publish(std::shared_ptr<const Snapshot> snapshot);  // the core's thread

  // Never null after the first Publish. Waits at most `wait` for one that is newer than this call;
  // then gives the last one.
  std::shared_ptr<const Snapshot> Fresh(Duration wait);
  // Asks without waiting, and says for how long the core has owed an answer.
  Duration Silence();

 private:
  void AskLocked();

  std::mutex mutex_;
  std::condition_variable published_;
  std::function<void()> ask_;  // by mutex_, as all that follows
  std::shared_ptr<const Snapshot> latest_;
  uint64_t count_ = 0;  // of Publish
  bool asked_ = false;  // and not answered yet
  Time asked_at_;
};

}  // namespace headrace::server
