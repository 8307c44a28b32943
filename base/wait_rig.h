// For tests: waiting for what others do, only as long as it takes and never for ever.
#pragma once

#include <poll.h>

#include <functional>

#include "base/loop.h"
#include "base/time.h"

namespace headrace {

inline constexpr Duration kPatience = seconds(20);  // a loaded machine; good runs take milliseconds

// Asks now and each millisecond until `done`; false: it never was. For what other threads do.
inline bool Eventually(const std::function<bool()>& done) {
  const Time end = MonotonicNow() + kPatience;
  while (!done()) {
    if (MonotonicNow() >= end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

// Runs the loop until `done`, which is asked between its turns; false: it never was. `meanwhile` is
// called every other millisecond. The loop's idle callback is lost.
inline bool RunUntil(Loop* loop, const std::function<bool()>& done,
                     const std::function<void()>& meanwhile = nullptr) {
  const Time end = MonotonicNow() + kPatience;
  bool met = false;
  // What is waited for may be told by no event: the timer wakes the loop.
  uint64_t timer = 0;
  std::function<void()> tick = [&] {
    timer = loop->At(MonotonicNow() + milliseconds(2), tick);
    if (meanwhile) meanwhile();
  };
  loop->SetIdle([&] {
    met = met || done();
    if (met || MonotonicNow() >= end) loop->Stop();
    return met;
  });
  tick();
  loop->Run();
  loop->CancelTimer(timer);
  loop->SetIdle(nullptr);
  return met;
}

}  // namespace headrace
