// Saves and loads that were submitted: who still owns the blocks, and the one Completion of each.
//
// A transfer runs until the server's reply. A revoked one (by its owner, or because its deadline
// passed) ends earlier, when its gate proves that nobody touches the blocks any more; its slot and
// gate word stay taken until the late reply came or the connection ended. After the connection's
// end the gate, or the hang-up of every process that held the socket, is the proof.
//
// Reads gates and polls ended links; sends nothing. Time comes in. Guarded by its client's lock.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "client/client.h"
#include "client/gate_page.h"
#include "client/link.h"
#include "wire/control.h"
#include "wire/copy.h"

namespace headrace::client {

class Transfers {
 public:
  static constexpr uint32_t kMaxSlots = 0xfffe;
  // A mover that is inside a chunk when its server hangs up has this long to leave it; after that
  // it is dead, and the word will never change.
  static constexpr Duration kHangUpGrace = milliseconds(100);
  // A revoked save that was committed already: its reply is on its way.
  static constexpr Duration kCommittedGrace = milliseconds(5);
  // How often gates are looked at while something waits for them.
  static constexpr Duration kFencePause = microseconds(200);

  struct Started {
    Submission submission = 0;  // also the id of the request
    uint32_t gate = wire::kNoGate;
  };

  explicit Transfers(uint32_t slots);

  // `gates` may be null: the server knows none, and only its reply or its hang-up is a fence.
  // kLimit when all slots are taken.
  Result<Started> Start(wire::MessageType type, Time deadline, std::shared_ptr<GatePage> gates);
  // Nothing of it was sent.
  void Undo(Submission submission);
  // False: no such transfer of that type; the reply is too late or not for us.
  bool OnReply(const wire::ReplyFrame& reply);
  // True when it runs and was not revoked yet: the caller asks the server to cancel.
  bool Revoke(Submission submission, Errc reason, Time now);
  void RevokeAll(Errc reason, Time now, std::vector<Submission>* revoked);
  // The connection ended; `link` is kept until nobody at its other end can write.
  void OnConnectionEnd(std::shared_ptr<Link> link, Time now);

  // Passes deadlines and fences. Transfers whose deadline passed are appended to `revoked`.
  void Check(Time now, std::vector<Submission>* revoked);
  // When Check may find something without a reply; Time::max() when never.
  Time next_check() const;

  // Moves at most `most` completions to the end of `out`, oldest first.
  size_t Take(size_t most, std::vector<Completion>* out);
  bool has_completions() const { return !completions_.empty(); }
  // Transfers whose Completion has not been made.
  uint32_t unfinished() const { return unfinished_; }

 private:
  enum class State : uint8_t {
    kFree,
    kRunning,
    kRevoked,   // no Completion yet: somebody may be inside
    kFinished,  // its Completion was made; the slot waits for the reply
    kOrphaned,  // the connection ended, no Completion yet
  };
  struct Slot {
    State state = State::kFree;
    bool load = false;
    Errc reason = Errc::kOk;  // of its Completion when it was revoked or orphaned
    uint32_t active = 0;      // its place in active_
    Submission submission = 0;
    Time deadline;     // kRunning
    Time grace_until;  // kRevoked: of a committed save; kOrphaned: after the hang-up
    std::shared_ptr<GatePage> gates;
    std::shared_ptr<Link> link;  // kOrphaned
  };

  Slot* Find(Submission submission);
  uint32_t IndexOf(const Slot& slot) const;
  void RevokeSlot(Slot& slot, Errc reason, Time now);
  bool Quiet(const Slot& slot, Time now) const;
  bool QuietAfterHangUp(Slot& slot, Time now) const;
  void Finish(const Slot& slot, Completion completion);
  void Free(Slot& slot);

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> active_;  // slots that are not free
  std::vector<Completion> completions_;
  uint64_t sequence_ = 0;
  uint32_t unfinished_ = 0;
};

}  // namespace headrace::client
