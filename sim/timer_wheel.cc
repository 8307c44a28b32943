#include "sim/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "base/result.h"

namespace headrace::sim {

namespace {

constexpr uint64_t kSign = uint64_t{1} << 63;

// Times as numbers of the same order: those before the clock's zero, too.
uint64_t Key(Time time) {
  return static_cast<uint64_t>(ToWire(time)) ^ kSign;
}

Time OfKey(uint64_t key) {
  return FromWire(static_cast<int64_t>(key ^ kSign));
}

}  // namespace

TimerWheel::TimerWheel(Time now) : now_(Key(now)) {}

TimerWheel::TimerId TimerWheel::Add(Time when, uint64_t what) {
  uint32_t node = 0;
  if (free_.empty()) {
    node = static_cast<uint32_t>(nodes_.size());
    HR_CHECK(node != kNone);
    nodes_.emplace_back();
  } else {
    node = free_.back();
    free_.pop_back();
  }
  Node& entry = nodes_[node];
  entry.when = Key(when);
  entry.what = what;
  if (entry.when < now_) {
    entry.place = kOverdue;
    entry.order = overdue_order_++;
    overdue_.emplace(std::pair(entry.when, entry.order), node);
  } else {
    Link(node);
  }
  ++size_;
  return TimerId{entry.generation} << 32 | node;
}

bool TimerWheel::Cancel(TimerId timer) {
  const auto node = static_cast<uint32_t>(timer);
  if (node >= nodes_.size()) return false;
  const Node& entry = nodes_[node];
  if (entry.place == kFree || entry.generation != timer >> 32) return false;
  if (entry.place == kOverdue) {
    overdue_.erase({entry.when, entry.order});
  } else {
    Slot& slot = slots_[entry.place];
    if (entry.when == slot.earliest) slot.stale = true;
    Unlink(node);
  }
  Free(node);
  return true;
}

std::optional<Time> TimerWheel::Next() {
  if (!overdue_.empty()) return OfKey(overdue_.begin()->first.first);
  const std::optional<uint32_t> place = FirstPlace();
  if (!place) return std::nullopt;
  Slot& slot = slots_[*place];
  if (slot.stale) {
    slot.stale = false;
    slot.earliest = UINT64_MAX;
    for (uint32_t node = slot.first; node != kNone; node = nodes_[node].next) {
      slot.earliest = std::min(slot.earliest, nodes_[node].when);
    }
  }
  return OfKey(slot.earliest);
}

std::optional<TimerWheel::Entry> TimerWheel::Take(Time time) {
  const uint64_t now = Key(time);
  if (!overdue_.empty()) {
    const auto first = overdue_.begin();
    if (first->first.first > now) return std::nullopt;
    const uint32_t node = first->second;
    overdue_.erase(first);
    return Free(node);
  }
  while (const std::optional<uint32_t> place = FirstPlace()) {
    const uint64_t begin = BeginOf(*place);
    if (begin > now) break;
    const uint32_t node = slots_[*place].first;
    const bool alone = *place < kSlots || slots_[*place].last == node;
    if (alone && nodes_[node].when <= now) {
      Unlink(node);
      return Free(node);
    }
    now_ = std::max(now_, begin);
    Spread(*place);
  }
  now_ = std::max(now_, now);
  return std::nullopt;
}

// The lower a level, the earlier are its entries; and within a level the lower slots.
std::optional<uint32_t> TimerWheel::FirstPlace() const {
  if (used_levels_ == 0) return std::nullopt;
  const auto level = static_cast<uint32_t>(std::countr_zero(used_levels_));
  return level * kSlots + static_cast<uint32_t>(std::countr_zero(used_[level]));
}

// The first time that belongs there, as seen from now_: the digits above are those of now_.
uint64_t TimerWheel::BeginOf(uint32_t place) const {
  const uint32_t shift = place / kSlots * kDigitBits;
  const uint64_t digit = uint64_t{place % kSlots} << shift;
  const uint32_t above = shift + kDigitBits;
  return above >= 64 ? digit : (now_ >> above << above) | digit;
}

void TimerWheel::Link(uint32_t node) {
  Node& entry = nodes_[node];
  HR_DCHECK(entry.when >= now_);
  const uint64_t differing = (entry.when ^ now_) | 1;
  const uint32_t level = static_cast<uint32_t>(std::bit_width(differing) - 1) / kDigitBits;
  const auto digit = static_cast<uint32_t>(entry.when >> (level * kDigitBits)) % kSlots;
  Slot& slot = slots_[level * kSlots + digit];
  entry.place = static_cast<uint16_t>(level * kSlots + digit);
  entry.previous = slot.last;
  entry.next = kNone;
  if (slot.first == kNone) {
    slot.first = node;
    slot.earliest = entry.when;
    slot.stale = false;
    used_[level] |= uint64_t{1} << digit;
    used_levels_ |= 1u << level;
  } else {
    nodes_[slot.last].next = node;
    // A stale slot stays so: what is left in it may be earlier than this entry.
    slot.earliest = std::min(slot.earliest, entry.when);
  }
  slot.last = node;
}

void TimerWheel::Unlink(uint32_t node) {
  const Node& entry = nodes_[node];
  Slot& slot = slots_[entry.place];
  (entry.previous == kNone ? slot.first : nodes_[entry.previous].next) = entry.next;
  (entry.next == kNone ? slot.last : nodes_[entry.next].previous) = entry.previous;
  if (slot.first != kNone) return;
  const uint32_t level = entry.place / kSlots;
  used_[level] &= ~(uint64_t{1} << entry.place % kSlots);
  if (used_[level] == 0) used_levels_ &= ~(1u << level);
}

// The wheel has reached the slot: its entries go to lower levels, in their order.
void TimerWheel::Spread(uint32_t place) {
  const uint32_t level = place / kSlots;
  HR_DCHECK(level > 0);
  uint32_t node = slots_[place].first;
  slots_[place] = Slot{};
  used_[level] &= ~(uint64_t{1} << place % kSlots);
  if (used_[level] == 0) used_levels_ &= ~(1u << level);
  while (node != kNone) {
    const uint32_t next = nodes_[node].next;
    Link(node);
    node = next;
  }
}

TimerWheel::Entry TimerWheel::Free(uint32_t node) {
  Node& entry = nodes_[node];
  entry.place = kFree;
  if (++entry.generation == 0) entry.generation = 1;
  free_.push_back(node);
  HR_DCHECK(size_ > 0);
  --size_;
  return {entry.what, OfKey(entry.when)};
}

}  // namespace headrace::sim
