#include "client/transfers.h"

#include <algorithm>

namespace headrace::client {
namespace {

// A submission is its sequence number and, in the low bits, its slot.
constexpr uint32_t kSlotBits = 16;
constexpr uint64_t kSlotMask = (1u << kSlotBits) - 1;

}  // namespace

Transfers::Transfers(uint32_t slots) : slots_(slots) {
  HR_CHECK(slots > 0 && slots <= kMaxSlots);
  free_.reserve(slots);
  active_.reserve(slots);
  for (uint32_t i = slots; i > 0; --i) free_.push_back(i - 1);
}

Result<Transfers::Started> Transfers::Start(wire::MessageType type, Time deadline,
                                            std::shared_ptr<GatePage> gates) {
  HR_CHECK(type == wire::MessageType::kSave || type == wire::MessageType::kLoad);
  if (free_.empty()) return Fail(Errc::kLimit, "all gates are in use by saves and loads");
  const uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  HR_CHECK(slot.state == State::kFree);
  slot.state = State::kRunning;
  slot.load = type == wire::MessageType::kLoad;
  slot.reason = Errc::kOk;
  slot.active = static_cast<uint32_t>(active_.size());
  slot.submission = ++sequence_ << kSlotBits | index;
  slot.deadline = deadline;
  slot.gates = std::move(gates);
  active_.push_back(index);
  ++unfinished_;
  if (!slot.gates) return Started{slot.submission, wire::kNoGate};
  slot.gates->Reset(index);
  return Started{slot.submission, index};
}

void Transfers::Undo(Submission submission) {
  Slot* slot = Find(submission);
  HR_CHECK(slot != nullptr && slot->state == State::kRunning);
  --unfinished_;
  Free(*slot);
}

bool Transfers::OnReply(const wire::ReplyFrame& reply) {
  Slot* slot = Find(reply.id);
  const bool load = reply.type == wire::MessageType::kLoad;
  const bool ours = load || reply.type == wire::MessageType::kSave;
  if (slot == nullptr || !ours || slot->load != load || slot->state == State::kOrphaned)
    return false;
  if (slot->state != State::kFinished) {
    Completion completion{.submission = slot->submission, .code = reply.code};
    if (const auto* save = std::get_if<wire::SaveReply>(&reply.body)) {
      completion.stored = save->stored;
      completion.deduped = save->deduped;
      completion.refused = save->refused;
      completion.failed = save->failed;
    } else if (const auto* loaded = std::get_if<wire::LoadReply>(&reply.body)) {
      completion.loaded = loaded->loaded;
      completion.bytes = loaded->bytes;
    }
    Finish(*slot, completion);
  }
  Free(*slot);
  return true;
}

bool Transfers::Revoke(Submission submission, Errc reason, Time now) {
  Slot* slot = Find(submission);
  if (slot == nullptr || slot->state != State::kRunning) return false;
  RevokeSlot(*slot, reason, now);
  return true;
}

void Transfers::RevokeAll(Errc reason, Time now, std::vector<Submission>* revoked) {
  for (const uint32_t index : active_) {
    if (!Revoke(slots_[index].submission, reason, now)) continue;
    revoked->push_back(slots_[index].submission);
  }
}

void Transfers::RevokeSlot(Slot& slot, Errc reason, Time now) {
  slot.state = State::kRevoked;
  slot.reason = reason;
  slot.grace_until = now + kCommittedGrace;
  if (slot.gates) slot.gates->Revoke(IndexOf(slot));
}

void Transfers::OnConnectionEnd(std::shared_ptr<Link> link, Time now) {
  const bool gone = link->PeerGone();
  for (size_t i = active_.size(); i > 0; --i) {
    Slot& slot = slots_[active_[i - 1]];
    if (slot.state == State::kOrphaned) continue;  // of an earlier connection
    if (slot.state == State::kFinished) {
      Free(slot);
      continue;
    }
    if (slot.state == State::kRunning) RevokeSlot(slot, Errc::kUnavailable, now);
    slot.state = State::kOrphaned;
    slot.grace_until = gone ? now + kHangUpGrace : Time::max();
    slot.link = link;
  }
  Check(now, nullptr);
}

void Transfers::Check(Time now, std::vector<Submission>* revoked) {
  for (size_t i = active_.size(); i > 0; --i) {
    Slot& slot = slots_[active_[i - 1]];
    if (slot.state == State::kRunning && now >= slot.deadline) {
      RevokeSlot(slot, Errc::kTimeout, now);
      if (revoked != nullptr) revoked->push_back(slot.submission);
    }
    const Completion end{.submission = slot.submission, .code = slot.reason};
    if (slot.state == State::kRevoked && Quiet(slot, now)) {
      Finish(slot, end);
      slot.state = State::kFinished;
    } else if (slot.state == State::kOrphaned && QuietAfterHangUp(slot, now)) {
      Finish(slot, end);
      Free(slot);
    }
  }
}

// What a revoked save reads is never published, so that its owner may change the blocks at once.
// Had it been committed before, every byte was read; then its reply tells how many were stored.
bool Transfers::Quiet(const Slot& slot, Time now) const {
  if (!slot.gates) return false;
  if (slot.load) return !slot.gates->Writing(IndexOf(slot));
  return !slot.gates->Committed(IndexOf(slot)) || now >= slot.grace_until;
}

bool Transfers::QuietAfterHangUp(Slot& slot, Time now) const {
  if (slot.gates && (!slot.load || !slot.gates->Writing(IndexOf(slot)))) return true;
  if (slot.grace_until == Time::max() && slot.link->PeerGone())
    slot.grace_until = now + kHangUpGrace;
  if (!slot.gates) return slot.grace_until != Time::max();
  return now >= slot.grace_until;
}

Time Transfers::next_check() const {
  Time next = Time::max();
  for (const uint32_t index : active_) {
    const Slot& slot = slots_[index];
    if (slot.state == State::kRunning) next = std::min(next, slot.deadline);
    const bool waits = slot.state == State::kRevoked || slot.state == State::kOrphaned;
    if (waits && (slot.gates || slot.link)) return Time::min();
  }
  return next;
}

size_t Transfers::Take(size_t most, std::vector<Completion>* out) {
  const size_t count = std::min(most, completions_.size());
  const auto end = completions_.begin() + static_cast<ptrdiff_t>(count);
  out->insert(out->end(), completions_.begin(), end);
  completions_.erase(completions_.begin(), end);
  return count;
}

Transfers::Slot* Transfers::Find(Submission submission) {
  const uint64_t index = submission & kSlotMask;
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  return slot.state != State::kFree && slot.submission == submission ? &slot : nullptr;
}

uint32_t Transfers::IndexOf(const Slot& slot) const {
  return static_cast<uint32_t>(slot.submission & kSlotMask);
}

void Transfers::Finish(const Slot& slot, Completion completion) {
  HR_CHECK(slot.state != State::kFree && slot.state != State::kFinished && unfinished_ > 0);
  --unfinished_;
  completions_.push_back(completion);
}

void Transfers::Free(Slot& slot) {
  const uint32_t index = IndexOf(slot);
  HR_CHECK(active_[slot.active] == index);
  active_[slot.active] = active_.back();
  slots_[active_.back()].active = slot.active;
  active_.pop_back();
  slot.state = State::kFree;
  slot.gates.reset();
  slot.link.reset();
  free_.push_back(index);
}

}  // namespace headrace::client
