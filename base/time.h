// The words for time. Code that decides anything takes Time as a parameter; only loops and
// mains read the clock, through MonotonicNow.
#pragma once

#include <chrono>

namespace headrace {

using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<std::chrono::steady_clock, Duration>;

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// CLOCK_MONOTONIC: shared by all processes of one host, so a deadline may cross a socket.
inline Time MonotonicNow() {
  return std::chrono::steady_clock::now();
}

// The wall clock, in seconds since 1970: what is told to others, who share no other clock.
inline double UnixSeconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Nanoseconds of CLOCK_MONOTONIC, the wire form of a deadline; 0 means "none".
inline int64_t ToWire(Time time) {
  return time.time_since_epoch().count();
}
inline Time FromWire(int64_t nanos) {
  return Time(Duration(nanos));
}

}  // namespace headrace
