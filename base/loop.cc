#include "base/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace headrace {
namespace {

constexpr int kEventsPerTurn = 128;  // more wait for the next turn, so timers are not starved
constexpr int kWaitForever = -1;

// A watched descriptor. `serial` tells an event for this watch from one for an earlier watch of the
// same number that is still in the batch being handled.
struct Watcher {
  uint32_t serial;
  std::shared_ptr<Loop::IoCallback> callback;  // shared: it may be unwatched while it runs
};

uint64_t EventKey(int fd, uint32_t serial) {
  return (uint64_t{serial} << 32) | static_cast<uint32_t>(fd);
}

class EpollLoop final : public Loop {
 public:
  EpollLoop(Fd epoll, Fd wake, Fd timer)
      : epoll_(std::move(epoll)), wake_(std::move(wake)), timer_(std::move(timer)) {}

  // Joins the loop's own two descriptors; called once, before use.
  Status Open();

  Status Watch(int fd, uint32_t epoll_events, IoCallback callback) override;
  Status Rearm(int fd, uint32_t epoll_events) override;
  void Unwatch(int fd) override;
  uint64_t At(Time when, Callback callback) override;
  void CancelTimer(uint64_t timer) override;
  void Post(Callback callback) override;
  void SetIdle(std::function<bool()> idle) override;
  void Run() override;
  void Stop() override;
  Time now() const override { return now_; }

 private:
  void OwnThread() const {
    HR_DCHECK(runner_ == std::thread::id() || runner_ == std::this_thread::get_id());
  }
  void Turn();
  void Wake();
  void ArmTimer();
  void RunPosted();
  void RunTimers();
  void Dispatch(const epoll_event& event);

  const Fd epoll_, wake_, timer_;
  std::thread::id runner_;  // while Run runs
  Time now_ = MonotonicNow();

  uint32_t next_serial_ = 1;
  std::unordered_map<int, Watcher> watchers_;

  // By time, then in the order they were asked for.
  std::map<std::pair<Time, uint64_t>, Callback> timers_;
  std::unordered_map<uint64_t, Time> timer_times_;
  uint64_t next_timer_ = 1;
  Time armed_ = Time::max();  // what timer_ is set to; max: nothing

  std::shared_ptr<std::function<bool()>> idle_;

  std::mutex posted_mutex_;
  std::vector<Callback> posted_;  // by posted_mutex_
  std::atomic<bool> stop_ = false;
  static_assert(std::atomic<bool>::is_always_lock_free, "Stop may run in a signal handler");
};

Status EpollLoop::Open() {
  // Serial 0 is the loop's own: never in watchers_.
  for (int fd : {wake_.get(), timer_.get()}) {
    epoll_event event{EPOLLIN, {.u64 = EventKey(fd, 0)}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return Fail(Errc::kIo, "cannot watch a descriptor", errno);
    }
  }
  return {};
}

Status EpollLoop::Watch(int fd, uint32_t epoll_events, IoCallback callback) {
  OwnThread();
  HR_CHECK(callback != nullptr);
  uint32_t serial = next_serial_++;
  if (next_serial_ == 0) next_serial_ = 1;
  epoll_event event{epoll_events, {.u64 = EventKey(fd, serial)}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return Fail(errno == EEXIST ? Errc::kExists : Errc::kIo, "cannot watch a descriptor", errno);
  }
  // A watcher left under this number belonged to a descriptor that was closed unasked.
  watchers_[fd] = Watcher{serial, std::make_shared<IoCallback>(std::move(callback))};
  return {};
}

Status EpollLoop::Rearm(int fd, uint32_t epoll_events) {
  OwnThread();
  auto it = watchers_.find(fd);
  if (it == watchers_.end()) return Fail(Errc::kNotFound, "descriptor is not watched");
  epoll_event event{epoll_events, {.u64 = EventKey(fd, it->second.serial)}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return Fail(Errc::kIo, "cannot change what is watched", errno);
  }
  return {};
}

void EpollLoop::Unwatch(int fd) {
  OwnThread();
  if (watchers_.erase(fd) == 0) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);  // fails only when it was closed first
}

uint64_t EpollLoop::At(Time when, Callback callback) {
  OwnThread();
  HR_CHECK(callback != nullptr);
  uint64_t timer = next_timer_++;
  timers_.emplace(std::pair(when, timer), std::move(callback));
  timer_times_.emplace(timer, when);
  return timer;
}

void EpollLoop::CancelTimer(uint64_t timer) {
  OwnThread();
  auto it = timer_times_.find(timer);
  if (it == timer_times_.end()) return;
  size_t erased = timers_.erase(std::pair(it->second, timer));
  HR_CHECK(erased == 1);
  timer_times_.erase(it);
}

void EpollLoop::Post(Callback callback) {
  HR_CHECK(callback != nullptr);
  bool first;
  {
    std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(callback));
  }
  if (first) Wake();
}

void EpollLoop::SetIdle(std::function<bool()> idle) {
  OwnThread();
  idle_ = idle == nullptr ? nullptr : std::make_shared<std::function<bool()>>(std::move(idle));
}

void EpollLoop::Run() {
  HR_CHECK(runner_ == std::thread::id());
  runner_ = std::this_thread::get_id();
  while (!stop_.exchange(false)) Turn();
  RunPosted();  // what was posted before Stop
  runner_ = std::thread::id();
}

void EpollLoop::Stop() {
  stop_.store(true);
  Wake();
}

// Safe in a signal handler: one write, errno kept. A full counter means a wake-up is pending.
void EpollLoop::Wake() {
  int saved = errno;
  uint64_t one = 1;
  ssize_t written = ::write(wake_.get(), &one, sizeof(one));
  static_cast<void>(written);
  errno = saved;
}

void EpollLoop::Turn() {
  bool busy = false;
  if (idle_ != nullptr) {
    std::shared_ptr<std::function<bool()>> idle = idle_;  // it may replace itself
    busy = (*idle)();
  }
  if (!busy) ArmTimer();
  std::array<epoll_event, kEventsPerTurn> events;
  int count = epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, busy ? 0 : kWaitForever);
  HR_CHECK(count >= 0 || errno == EINTR);
  now_ = MonotonicNow();
  RunTimers();
  for (int i = 0; i < count; ++i) Dispatch(events[static_cast<size_t>(i)]);
}

// Sets the kernel's timer to the first of ours, if it is not set to it already.
void EpollLoop::ArmTimer() {
  Time first = timers_.empty() ? Time::max() : timers_.begin()->first.first;
  if (first == armed_) return;
  armed_ = first;
  itimerspec spec{};
  if (first != Time::max()) {
    // All zero would disarm: times at or before the clock's start are long past.
    int64_t nanos = std::max<int64_t>(1, first.time_since_epoch().count());
    spec.it_value.tv_sec = nanos / 1'000'000'000;
    spec.it_value.tv_nsec = nanos % 1'000'000'000;
  }
  int set = timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  HR_CHECK(set == 0);
}

void EpollLoop::RunPosted() {
  std::vector<Callback> work;
  {
    std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (Callback& callback : work) callback();
}

// Runs what was due when the turn began; a timer that sets another for now gets its turn later, so
// a chain of them cannot hold the loop.
void EpollLoop::RunTimers() {
  auto end = timers_.upper_bound(std::pair(now_, UINT64_MAX));
  std::vector<std::pair<Time, uint64_t>> due;
  for (auto it = timers_.begin(); it != end; ++it) due.push_back(it->first);
  for (const auto& key : due) {
    auto it = timers_.find(key);
    if (it == timers_.end()) continue;  // cancelled by one of the others
    Callback callback = std::move(it->second);
    timers_.erase(it);
    timer_times_.erase(key.second);
    callback();
  }
}

void EpollLoop::Dispatch(const epoll_event& event) {
  int fd = static_cast<int>(event.data.u64 & UINT32_MAX);
  uint32_t serial = static_cast<uint32_t>(event.data.u64 >> 32);
  if (serial == 0) {
    uint64_t count = 0;
    ssize_t read = ::read(fd, &count, sizeof(count));
    static_cast<void>(read);  // EAGAIN when the timer was set anew after it rang
    if (fd == wake_.get()) RunPosted();
    if (fd == timer_.get()) armed_ = Time::max();  // it rang: it is not set to anything
    return;
  }
  auto it = watchers_.find(fd);
  if (it == watchers_.end() || it->second.serial != serial) return;  // unwatched in this turn
  std::shared_ptr<IoCallback> callback = it->second.callback;
  (*callback)(event.events);
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::Create() {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Fail(Errc::kIo, "cannot create an epoll instance", errno);
  Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return Fail(Errc::kIo, "cannot create an eventfd", errno);
  Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return Fail(Errc::kIo, "cannot create a timerfd", errno);
  auto loop = std::make_unique<EpollLoop>(std::move(epoll), std::move(wake), std::move(timer));
  HR_RETURN_IF_ERROR(loop->Open());
  return std::unique_ptr<Loop>(std::move(loop));
}

}  // namespace headrace
