// Follows one publisher's stream of numbered messages, so that what is applied is all of it, once
// and in order, or is known not to be. A state machine: time comes in, what to do comes out; no
// I/O. docs/indexer.md draws the states. One thread.
//
// A replay asks for one message more than is missing, the last one that was applied: if that is not
// the same bytes any more, the publisher is another one that has come as far (a restart that was
// slept through), and all that the old one told is over.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace headrace::indexer {

struct FollowLimits {
  Duration idle = seconds(2);         // of a replay or snapshot without a message
  Duration total = seconds(120);      // of one replay or snapshot
  Duration cool_down = seconds(30);   // after the last attempt failed
  Duration probe_after = seconds(5);  // of silence, once: was the last message lost? 0: never
  Duration refused_for =
      seconds(300);              // a peer that did not answer to "snapshot" is not asked again
  int attempts = 3;              // without progress, before a cool-down
  int rounds = 3;                // of attempts and cool-downs, before a gap is lived with
  size_t held_messages = 65536;  // that wait for a gap to be filled
  size_t held_bytes = 64u << 20;
};

// What the publisher can be asked for.
struct FollowOffers {
  bool replay = false;
  bool snapshot = false;
};

struct FollowMessage {
  uint64_t sequence = 0;
  std::string_view topic;
  std::string_view payload;
};

struct FollowAction {
  enum class Kind : uint8_t {
    kApply,          // `message`
    kNewEpoch,       // all that was applied is over
    kAskReplay,      // of `from` and all that follows, under `ticket`; a running one is over
    kAskSnapshot,    // under `ticket`; a running replay is over
    kMarkUncertain,  // something is missing
    kMarkCertain,    // nothing is
  };
  Kind kind = Kind::kApply;
  FollowMessage message;
  uint64_t from = 0;
  uint32_t ticket = 0;
};

// What came out of the calls since Clear, in order. Messages are views of the caller's memory (the
// message of this call) or of this object.
class FollowActions {
 public:
  void Add(const FollowAction& action) { list_.push_back(action); }
  void Own(uint64_t sequence, std::string topic, std::string payload);
  void Clear();
  const std::vector<FollowAction>& list() const { return list_; }

 private:
  struct Owned {
    std::string topic, payload;
  };
  std::vector<FollowAction> list_;
  std::deque<Owned> owned_;
};

struct FollowCounters {
  uint64_t applied = 0;
  uint64_t duplicates = 0;
  uint64_t gaps = 0;
  uint64_t restarts = 0;
  uint64_t replays = 0;          // asked for
  uint64_t replay_failures = 0;  // of these
  uint64_t probes = 0;           // of these, after a silence
  uint64_t snapshots = 0;        // asked for
  uint64_t snapshot_failures = 0;
  uint64_t held_dropped = 0;  // live messages beyond the bounds: a replay brings them again
  uint64_t lost = 0;          // messages that nobody could give again

  void Add(const FollowCounters& other);
};

class StreamFollower {
 public:
  enum class State : uint8_t { kIdle, kLive, kReplay, kSnapshot, kCooling };

  StreamFollower(const FollowLimits& limits, const FollowOffers& offers);

  // The subscription stands (again): what was sent before did not reach us.
  void OnConnected(Time now, FollowActions* out);
  void OnLive(const FollowMessage& message, Time now, FollowActions* out);
  // Answers of older tickets count for nothing.
  void OnReplay(uint32_t ticket, const FollowMessage& message, Time now, FollowActions* out);
  void OnReplayEnd(uint32_t ticket, Time now, FollowActions* out);
  // A part of the snapshot; its sequence number says nothing.
  void OnSnapshot(uint32_t ticket, const FollowMessage& message, Time now, FollowActions* out);
  // It holds all that was told before `next`.
  void OnSnapshotEnd(uint32_t ticket, uint64_t next, Time now, FollowActions* out);
  // The question has still to wait for its turn: its time has not begun.
  void OnWaiting(uint32_t ticket, Time now);
  // The peer refused, or cannot be reached.
  void OnFailed(uint32_t ticket, Time now, FollowActions* out);
  // The publisher said that it holds nothing now: what was lost before does not matter any more.
  void OnCleared(FollowActions* out);
  void OnTick(Time now, FollowActions* out);

  State state() const { return state_; }
  bool uncertain() const { return uncertain_; }
  uint64_t next() const { return next_; }
  size_t held() const { return held_.size(); }
  const FollowCounters& counters() const { return counters_; }

 private:
  static constexpr size_t kRecent = 256;
  struct Held {
    std::string topic, payload;
  };
  struct Seen {
    bool valid = false;
    uint64_t sequence = 0;
    uint64_t digest = 0;
  };

  bool CanSnapshot(Time now) const { return offers_.snapshot && now >= refused_until_; }
  static uint64_t DigestOf(const FollowMessage& message);
  std::optional<uint64_t> SeenDigest(uint64_t sequence) const;
  void Apply(const FollowMessage& message, FollowActions* out);
  void Hold(const FollowMessage& message);
  void Drain(FollowActions* out);
  bool IsBehind() const;  // something that was published is known to be missing

  void OnLiveTick(Time now, FollowActions* out);
  void OnNewLive(const FollowMessage& message, Time now, FollowActions* out);
  void Restart(const FollowMessage* message, Time now, FollowActions* out);
  void DropHeld();
  void Forget();
  void Repair(Time now, FollowActions* out);
  void StartReplay(Time now, FollowActions* out);
  void StartSnapshot(Time now, FollowActions* out);
  bool CheckFirst(const FollowMessage& message, Time now, FollowActions* out);
  void Attempted(Time now, FollowActions* out);
  void CoolDown(Time now, FollowActions* out);
  void LiveWithIt(FollowActions* out);
  void Done(FollowActions* out);
  void Mark(bool uncertain, FollowActions* out);

  const FollowLimits limits_;
  const FollowOffers offers_;
  State state_ = State::kIdle;
  bool started_ = false;  // next_ is agreed on
  bool uncertain_ = false;
  bool hole_ = false;  // something is lost for good, unless a snapshot brings it
  uint64_t next_ = 0;
  std::optional<uint64_t> highest_;  // live message
  std::array<Seen, kRecent> seen_{};
  std::map<uint64_t, Held> held_;
  size_t held_bytes_ = 0;

  uint32_t ticket_ = 0;
  bool probing_ = false;
  bool overlap_ = false;   // the replay's first message is the last one that was applied
  bool got_ = false;       // the replay (snapshot) brought something
  bool progress_ = false;  // something new
  uint64_t expect_ = 0;    // the replay's next message
  int attempts_ = 0;
  int rounds_ = 0;
  Time idle_at_, total_at_, cool_until_, refused_until_;
  Time quiet_since_;
  bool probed_ = true;
  FollowCounters counters_;
};

}  // namespace headrace::indexer
