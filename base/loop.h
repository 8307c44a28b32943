// An event loop over epoll: descriptors, timers and work posted from other threads.
// One thread runs it; only Post and Stop may be called from elsewhere. Never blocks a callback.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/time.h"

namespace headrace {

class Loop {
 public:
  using Callback = std::function<void()>;
  using IoCallback = std::function<void(uint32_t epoll_events)>;

  static Result<std::unique_ptr<Loop>> Create();
  virtual ~Loop() = default;

  // Level-triggered. The callback may Unwatch or Watch any descriptor, its own too.
  // Unwatch comes before close: a duplicate in another process would keep a closed one ringing.
  virtual Status Watch(int fd, uint32_t epoll_events, IoCallback callback) = 0;
  virtual Status Rearm(int fd, uint32_t epoll_events) = 0;
  virtual void Unwatch(int fd) = 0;

  // Runs `callback` once at or after `when`; the number cancels it.
  virtual uint64_t At(Time when, Callback callback) = 0;
  virtual void CancelTimer(uint64_t timer) = 0;

  // From any thread, in order. Bounded only by memory: callers bound themselves.
  virtual void Post(Callback callback) = 0;

  // Called between polls. While it returns true the loop polls without waiting: it has more to do.
  virtual void SetIdle(std::function<bool()> idle) = 0;

  virtual void Run() = 0;        // until Stop, and what was posted before it; may run again
  virtual void Stop() = 0;       // any thread, also a signal handler
  virtual Time now() const = 0;  // when the current turn began
};

}  // namespace headrace
