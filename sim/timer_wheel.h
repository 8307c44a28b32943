// Deadlines of many requests at once: adding, cancelling and expiring one cost the same however
// many there are. Exact to the nanosecond: an entry never expires before its time, and Next() tells
// the earliest one. Knows no clock. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/time.h"

namespace headrace::sim {

class TimerWheel {
 public:
  using TimerId = uint64_t;  // never 0

  explicit TimerWheel(Time now);
  ~TimerWheel();

  // `what` comes back from Expire; a time that is past expires with the next call.
  TimerId Add(Time when, uint64_t what);
  // False when it expired or was cancelled before.
  bool Cancel(TimerId timer);
  // No entry expires before this time; nullopt: there is none.
  std::optional<Time> Next() const;
  // Calls `due` for each entry whose time is at most `now`, in the order of their times; those of
  // one time in the order in which they were added. `due` may add and cancel.
  void Expire(Time now, const std::function<void(uint64_t what, Time when)>& due);
  size_t size() const;
};

}  // namespace headrace::sim
