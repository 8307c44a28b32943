// Decides when an absent or frozen server is asked again, so that nobody waits for it meanwhile.
// Time comes in as a parameter. One lock's owner at a time.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace headrace::client {

class Breaker {
 public:
  // The first pause and the longest one; each probe without an answer doubles the pause.
  Breaker(Duration first, Duration longest) : first_(first), longest_(longest) {}

  bool open() const { return open_; }
  uint64_t opens() const { return opens_; }
  // When the next probe is due; Time::max() while closed.
  Time probe_at() const { return open_ ? probe_at_ : Time::max(); }

  // The server did not answer, could not be reached or hung up early.
  void Trip(Time now);
  // The server answered.
  void OnAnswer() { open_ = false; }
  // True once a pause: the caller probes now.
  bool TakeProbe(Time now);

 private:
  const Duration first_;
  const Duration longest_;
  bool open_ = false;
  Duration pause_{};
  Time probe_at_;
  uint64_t opens_ = 0;
};

}  // namespace headrace::client
