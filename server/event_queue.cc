#include "server/event_queue.h"

#include <bit>
#include <utility>

#include "base/result.h"

namespace headrace::server {

EventQueue::EventQueue(uint32_t events, uint64_t bytes)
    : mask_(std::bit_ceil(uint64_t{events}) - 1),
      max_bytes_(bytes),
      events_(std::make_unique<QueuedEvent[]>(mask_ + 1)) {
  HR_CHECK(events > 0);
}

bool EventQueue::TryPush(QueuedEvent* event) {
  const uint64_t pushed = pushed_.load(std::memory_order_relaxed);
  const uint64_t used = pushed - popped_.load(std::memory_order_acquire);
  HR_CHECK(used <= mask_ + 1);
  if (used > mask_) return false;
  const uint64_t bytes = event->outside_bytes();
  const uint64_t in = bytes_in_.load(std::memory_order_relaxed);
  // One alone always fits: it would never become smaller.
  if (used != 0 && in + bytes - bytes_out_.load(std::memory_order_acquire) > max_bytes_) {
    return false;
  }
  bytes_in_.store(in + bytes, std::memory_order_relaxed);
  events_[pushed & mask_] = std::move(*event);
  pushed_.store(pushed + 1, std::memory_order_release);
  return true;
}

bool EventQueue::TryPop(QueuedEvent* event) {
  const uint64_t popped = popped_.load(std::memory_order_relaxed);
  if (pushed_.load(std::memory_order_acquire) == popped) return false;
  *event = std::move(events_[popped & mask_]);
  bytes_out_.store(bytes_out_.load(std::memory_order_relaxed) + event->outside_bytes(),
                   std::memory_order_release);
  popped_.store(popped + 1, std::memory_order_release);
  return true;
}

uint64_t EventQueue::size() const {
  const uint64_t popped = popped_.load(std::memory_order_acquire);
  return pushed_.load(std::memory_order_acquire) - popped;
}

}  // namespace headrace::server
