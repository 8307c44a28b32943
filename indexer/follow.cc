#include "indexer/follow.h"

#include <algorithm>
#include <utility>

#include "base/random.h"

namespace headrace::indexer {

using Kind = FollowAction::Kind;

void FollowCounters::Add(const FollowCounters& other) {
  applied += other.applied;
  duplicates += other.duplicates;
  gaps += other.gaps;
  restarts += other.restarts;
  replays += other.replays;
  replay_failures += other.replay_failures;
  probes += other.probes;
  snapshots += other.snapshots;
  snapshot_failures += other.snapshot_failures;
  held_dropped += other.held_dropped;
  lost += other.lost;
}

void FollowActions::Own(uint64_t sequence, std::string topic, std::string payload) {
  const Owned& owned = owned_.emplace_back(Owned{std::move(topic), std::move(payload)});
  list_.push_back({Kind::kApply, {sequence, owned.topic, owned.payload}, 0, 0});
}

void FollowActions::Clear() {
  list_.clear();
  owned_.clear();
}

StreamFollower::StreamFollower(const FollowLimits& limits, const FollowOffers& offers)
    : limits_(limits), offers_(offers) {
  HR_CHECK(limits_.attempts > 0 && limits_.rounds > 0 && limits_.held_messages > 0);
}

uint64_t StreamFollower::DigestOf(const FollowMessage& message) {
  uint64_t state = message.payload.size();
  std::string_view rest = message.payload;
  while (!rest.empty()) {
    uint64_t word = 0;
    const size_t size = std::min(rest.size(), sizeof(word));
    rest.copy(reinterpret_cast<char*>(&word), size);
    rest.remove_prefix(size);
    state = MixBits(state ^ word) + 0x9e3779b97f4a7c15;
  }
  return state;
}

std::optional<uint64_t> StreamFollower::SeenDigest(uint64_t sequence) const {
  const Seen& seen = seen_[sequence % kRecent];
  if (!seen.valid || seen.sequence != sequence) return std::nullopt;
  return seen.digest;
}

void StreamFollower::Apply(const FollowMessage& message, FollowActions* out) {
  HR_CHECK(message.sequence >= next_);
  seen_[message.sequence % kRecent] = {true, message.sequence, DigestOf(message)};
  next_ = message.sequence + 1;
  ++counters_.applied;
  out->Add({Kind::kApply, message, 0, 0});
}

void StreamFollower::Hold(const FollowMessage& message) {
  if (held_.count(message.sequence) != 0) {
    ++counters_.duplicates;
    return;
  }
  const size_t bytes = message.topic.size() + message.payload.size();
  if (held_.size() >= limits_.held_messages || held_bytes_ + bytes > limits_.held_bytes) {
    ++counters_.held_dropped;
    return;
  }
  held_bytes_ += bytes;
  held_.emplace(message.sequence, Held{std::string(message.topic), std::string(message.payload)});
}

void StreamFollower::Drain(FollowActions* out) {
  while (!held_.empty() && held_.begin()->first <= next_) {
    auto node = held_.extract(held_.begin());
    Held& held = node.mapped();
    held_bytes_ -= held.topic.size() + held.payload.size();
    const uint64_t sequence = node.key();
    if (sequence < next_) continue;  // a replay brought it, too
    seen_[sequence % kRecent] = {true, sequence, DigestOf({sequence, held.topic, held.payload})};
    next_ = sequence + 1;
    ++counters_.applied;
    out->Own(sequence, std::move(held.topic), std::move(held.payload));
  }
}

bool StreamFollower::IsBehind() const {
  return !held_.empty() || (highest_ && *highest_ >= next_);
}

void StreamFollower::Mark(bool uncertain, FollowActions* out) {
  if (uncertain_ == uncertain) return;
  uncertain_ = uncertain;
  out->Add({uncertain ? Kind::kMarkUncertain : Kind::kMarkCertain, {}, 0, 0});
}

void StreamFollower::OnConnected(Time now, FollowActions* out) {
  quiet_since_ = now;
  probed_ = false;
  if (!offers_.replay && !offers_.snapshot) {
    if (state_ == State::kIdle) state_ = State::kLive;
    return;
  }
  attempts_ = rounds_ = 0;
  refused_until_ = now;
  Repair(now, out);
}

void StreamFollower::OnWaiting(uint32_t ticket, Time now) {
  if (ticket != ticket_) return;
  idle_at_ = now + limits_.idle;
  total_at_ = now + limits_.total;
}

void StreamFollower::OnLive(const FollowMessage& message, Time now, FollowActions* out) {
  quiet_since_ = now;
  probed_ = false;
  if (started_ && message.sequence < next_) {
    if (SeenDigest(message.sequence) == DigestOf(message)) {
      ++counters_.duplicates;
    } else {
      Restart(&message, now, out);
    }
    return;
  }
  highest_ = std::max(highest_.value_or(0), message.sequence);
  if (state_ == State::kIdle || state_ == State::kLive) {
    OnNewLive(message, now, out);
  } else {
    Hold(message);
  }
}

void StreamFollower::OnNewLive(const FollowMessage& message, Time now, FollowActions* out) {
  state_ = State::kLive;
  if (message.sequence == next_) {
    started_ = true;
    Apply(message, out);
    return;
  }
  if (started_) ++counters_.gaps;
  Hold(message);
  Repair(now, out);
}

void StreamFollower::DropHeld() {
  held_.clear();
  held_bytes_ = 0;
  highest_.reset();
}

void StreamFollower::Forget() {
  seen_.fill({});
  DropHeld();
  next_ = 0;
  hole_ = false;
}

void StreamFollower::Restart(const FollowMessage* message, Time now, FollowActions* out) {
  ++counters_.restarts;
  Forget();
  started_ = true;
  attempts_ = rounds_ = 0;
  out->Add({Kind::kNewEpoch, {}, 0, 0});
  if (message != nullptr) {
    highest_ = message->sequence;
    if (message->sequence == 0) {
      ++ticket_;  // what is asked for concerns the old one
      Apply(*message, out);
      Done(out);
      return;
    }
    Hold(*message);
  }
  Repair(now, out);
}

// Begins to get what is missing, by the gentlest way that is offered.
void StreamFollower::Repair(Time now, FollowActions* out) {
  Mark(true, out);
  probing_ = false;
  const bool given_up = rounds_ >= limits_.rounds && now < cool_until_;
  if (given_up || (!offers_.replay && !CanSnapshot(now))) {
    LiveWithIt(out);
  } else if (!offers_.replay || (hole_ && CanSnapshot(now))) {
    StartSnapshot(now, out);
  } else {
    StartReplay(now, out);
  }
}

void StreamFollower::StartReplay(Time now, FollowActions* out) {
  ++counters_.replays;
  overlap_ = next_ > 0 && SeenDigest(next_ - 1).has_value();
  expect_ = overlap_ ? next_ - 1 : next_;
  got_ = progress_ = false;
  state_ = State::kReplay;
  idle_at_ = now + limits_.idle;
  total_at_ = now + limits_.total;
  out->Add({Kind::kAskReplay, {}, expect_, ++ticket_});
}

void StreamFollower::StartSnapshot(Time now, FollowActions* out) {
  ++counters_.snapshots;
  Mark(true, out);
  probing_ = false;
  got_ = false;
  // What was published before the question is in the answer, whoever published it.
  DropHeld();
  state_ = State::kSnapshot;
  idle_at_ = now + limits_.idle;
  total_at_ = now + limits_.total;
  out->Add({Kind::kAskSnapshot, {}, 0, ++ticket_});
}

// Of a replay's first message: whether the replay goes on.
bool StreamFollower::CheckFirst(const FollowMessage& message, Time now, FollowActions* out) {
  if (overlap_ && message.sequence == expect_) {
    if (SeenDigest(message.sequence) == DigestOf(message)) return true;
    Restart(nullptr, now, out);
    return false;
  }
  if (message.sequence == expect_) return true;
  // It does not reach back far enough.
  const uint64_t missing = message.sequence - next_;
  if (CanSnapshot(now)) {
    StartSnapshot(now, out);
    return false;
  }
  Mark(true, out);
  probing_ = false;
  hole_ = true;
  counters_.lost += missing;
  expect_ = message.sequence;
  return true;
}

void StreamFollower::OnReplay(uint32_t ticket, const FollowMessage& message, Time now,
                              FollowActions* out) {
  if (state_ != State::kReplay || ticket != ticket_) return;
  idle_at_ = now + limits_.idle;
  if (message.sequence < expect_) {
    ++counters_.duplicates;
    return;
  }
  if (!got_ && !CheckFirst(message, now, out)) return;
  if (message.sequence != expect_) {  // one was lost on the way
    Attempted(now, out);
    return;
  }
  got_ = true;
  ++expect_;
  if (message.sequence < next_) return;
  started_ = true;
  progress_ = true;
  attempts_ = rounds_ = 0;
  Apply(message, out);
}

void StreamFollower::OnReplayEnd(uint32_t ticket, Time now, FollowActions* out) {
  if (state_ != State::kReplay || ticket != ticket_) return;
  if (overlap_ && !got_) {
    // Not even the last message is there: a publisher that has not come as far yet.
    if (held_.empty()) {
      Restart(nullptr, now, out);
      return;
    }
    if (CanSnapshot(now)) {
      StartSnapshot(now, out);
      return;
    }
  }
  started_ = true;
  Drain(out);
  if (!IsBehind()) {
    attempts_ = rounds_ = 0;
    Done(out);
  } else if (progress_) {
    Repair(now, out);
  } else {
    Attempted(now, out);
  }
}

void StreamFollower::Attempted(Time now, FollowActions* out) {
  ++counters_.replay_failures;
  if (probing_ && !IsBehind()) {
    ++ticket_;
    Done(out);
    return;
  }
  if (progress_) attempts_ = 0;
  if (++attempts_ < limits_.attempts) {
    Mark(true, out);
    probing_ = false;
    StartReplay(now, out);
  } else if (CanSnapshot(now)) {
    attempts_ = 0;
    StartSnapshot(now, out);
  } else {
    attempts_ = 0;
    CoolDown(now, out);
  }
}

void StreamFollower::CoolDown(Time now, FollowActions* out) {
  ++ticket_;
  cool_until_ = now + limits_.cool_down;
  if (++rounds_ >= limits_.rounds) {
    LiveWithIt(out);
  } else {
    state_ = State::kCooling;
  }
}

// Goes on behind the gap, which stays: better than to know nothing new.
void StreamFollower::LiveWithIt(FollowActions* out) {
  hole_ = true;
  started_ = true;
  while (IsBehind()) {
    if (held_.empty()) {
      counters_.lost += *highest_ + 1 - next_;
      next_ = *highest_ + 1;
      break;
    }
    counters_.lost += held_.begin()->first - std::min(next_, held_.begin()->first);
    next_ = std::max(next_, held_.begin()->first);
    Drain(out);
  }
  Done(out);
}

void StreamFollower::Done(FollowActions* out) {
  state_ = State::kLive;
  probing_ = false;
  Mark(hole_, out);
}

void StreamFollower::OnSnapshot(uint32_t ticket, const FollowMessage& message, Time now,
                                FollowActions* out) {
  if (state_ != State::kSnapshot || ticket != ticket_) return;
  idle_at_ = now + limits_.idle;
  if (!got_) out->Add({Kind::kNewEpoch, {}, 0, 0});
  got_ = true;
  hole_ = true;  // until its end
  out->Add({Kind::kApply, message, 0, 0});
}

void StreamFollower::OnSnapshotEnd(uint32_t ticket, uint64_t next, Time now, FollowActions* out) {
  if (state_ != State::kSnapshot || ticket != ticket_) return;
  if (!got_) out->Add({Kind::kNewEpoch, {}, 0, 0});
  seen_.fill({});
  next_ = next;
  hole_ = false;
  started_ = true;
  attempts_ = rounds_ = 0;
  Drain(out);
  if (IsBehind()) {
    Repair(now, out);
  } else {
    Done(out);
  }
}

void StreamFollower::OnCleared(FollowActions* out) {
  hole_ = false;
  if (state_ == State::kLive) Mark(false, out);
}

void StreamFollower::OnFailed(uint32_t ticket, Time now, FollowActions* out) {
  if (ticket != ticket_) return;
  if (state_ == State::kReplay) {
    Attempted(now, out);
  } else if (state_ == State::kSnapshot) {
    ++counters_.snapshot_failures;
    if (!got_ && offers_.replay) {
      // It does not know the question: what it can replay has to do.
      refused_until_ = now + limits_.refused_for;
      Repair(now, out);
      return;
    }
    CoolDown(now, out);
  }
}

void StreamFollower::OnTick(Time now, FollowActions* out) {
  const bool asking = state_ == State::kReplay || state_ == State::kSnapshot;
  if (asking && (now >= idle_at_ || now >= total_at_)) {
    OnFailed(ticket_, now, out);
  } else if (state_ == State::kCooling && now >= cool_until_) {
    Repair(now, out);
  } else if (state_ == State::kLive) {
    OnLiveTick(now, out);
  }
}

void StreamFollower::OnLiveTick(Time now, FollowActions* out) {
  if (hole_ && CanSnapshot(now) && now >= cool_until_) {
    Repair(now, out);
    return;
  }
  const bool probes = offers_.replay && limits_.probe_after > Duration{};
  if (!probes || probed_ || !started_ || now - quiet_since_ < limits_.probe_after) return;
  probed_ = true;
  probing_ = true;
  ++counters_.probes;
  StartReplay(now, out);
}

}  // namespace headrace::indexer
