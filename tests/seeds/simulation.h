// A discrete-event simulation: one clock, one queue, one source of chance. Everything that happens
// in a history is an event here, so a seed decides all of it. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace headrace::seeds {

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {}

  Time now() const { return now_; }
  Random& random() { return random_; }

  // Below `bound`; bound > 0.
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }
  // True `permille` times in a thousand.
  bool Chance(uint32_t permille) { return Below(1000) < permille; }
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }

  void After(Duration delay, std::function<void()> event) {
    events_.push(Event{now_ + delay, sequence_++, std::move(event)});
  }
  // After a random delay of up to `most`: messages on one link must not overtake, so links order
  // their own deliveries.
  void Soon(Duration most, std::function<void()> event) {
    After(Duration(Below(static_cast<uint64_t>(most.count()) + 1)), std::move(event));
  }

  // Runs events until `end` or until none is left. Returns how many ran.
  uint64_t RunUntil(Time end) {
    uint64_t count = 0;
    while (!events_.empty() && events_.top().when <= end) {
      Event event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      now_ = event.when;
      event.run();
      ++count;
    }
    now_ = std::max(now_, end);
    return count;
  }

 private:
  struct Event {
    Time when;
    uint64_t sequence;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : sequence > other.sequence;
    }
  };

  Time now_ = Time(seconds(1));
  Random random_;
  uint64_t sequence_ = 0;
  std::priority_queue<Event> events_;
};

}  // namespace headrace::seeds
