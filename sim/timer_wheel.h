// Deadlines of many requests at once: adding, cancelling and expiring one cost the same however
// many there are. Exact to the nanosecond: an entry never expires before its time, and Next() tells
// the earliest one. Knows no clock. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/time.h"

namespace headrace::sim {

// A hierarchical wheel. Times are split into digits of 6 bits; an entry stands in the slot of the
// highest digit that differs between its time and that of the wheel, and moves to a lower one when
// the wheel reaches that slot. So all entries of one time are in one slot, in their order.
class TimerWheel {
 public:
  using TimerId = uint64_t;  // never 0

  struct Entry {
    uint64_t what = 0;
    Time when{};
  };

  explicit TimerWheel(Time now);

  // `what` comes back from Expire; a time that is past expires with the next call.
  TimerId Add(Time when, uint64_t what);
  // False when it expired or was cancelled before.
  bool Cancel(TimerId timer);
  // The earliest time of any entry; nullopt: there is none. Looks at the entries that shared a slot
  // with the earliest one if that was cancelled.
  std::optional<Time> Next();
  // Calls `due`(what, when) for each entry whose time is at most `now`, in the order of their
  // times; those of one time in the order in which they were added. `due` may add and cancel: what
  // it adds for a time up to `now` is due in the same call.
  template <typename Due>
  void Expire(Time now, Due&& due) {
    while (const std::optional<Entry> entry = Take(now)) due(entry->what, entry->when);
  }
  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kDigitBits = 6;
  static constexpr uint32_t kSlots = 1u << kDigitBits;  // a level
  static constexpr uint32_t kLevels = (64 + kDigitBits - 1) / kDigitBits;
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint16_t kFree = UINT16_MAX;         // Node::place of what is in no list
  static constexpr uint16_t kOverdue = UINT16_MAX - 1;  // and of what is in overdue_

  struct Node {
    uint64_t when = 0;  // as Key() has it
    uint64_t what = 0;
    uint64_t order = 0;  // of its overdue_ entry
    uint32_t previous = kNone, next = kNone;
    uint32_t generation = 1;  // of its TimerId; the next one has another
    uint16_t place = kFree;   // level * kSlots + slot
  };
  struct Slot {
    uint32_t first = kNone, last = kNone;
    uint64_t earliest = 0;  // of its nodes, unless stale
    bool stale = false;     // the earliest was cancelled
  };

  // The earliest entry, out of the wheel, if it is due.
  std::optional<Entry> Take(Time now);
  std::optional<uint32_t> FirstPlace() const;
  uint64_t BeginOf(uint32_t place) const;
  void Link(uint32_t node);
  void Unlink(uint32_t node);
  void Spread(uint32_t place);
  Entry Free(uint32_t node);

  std::vector<Node> nodes_;
  std::vector<uint32_t> free_;
  std::array<Slot, size_t{kLevels} * kSlots> slots_;
  std::array<uint64_t, kLevels> used_{};  // a bit a slot
  uint32_t used_levels_ = 0;              // a bit a level
  uint64_t now_;                          // no linked entry has an earlier time
  // Those whose time had passed when they were added: before all that are in slots.
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> overdue_;
  uint64_t overdue_order_ = 0;
  size_t size_ = 0;
};

}  // namespace headrace::sim
