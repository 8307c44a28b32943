#include "transport/local/process_mover.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "base/log.h"
#include "transport/local/buffer.h"
#include "transport/local/channel.h"
#include "transport/local/child.h"
#include "transport/local/control.h"
#include "transport/local/thread_mover.h"
#include "transport/local/tickets.h"

namespace headrace::transport {
namespace {

// A process that dies young is started again more and more slowly.
constexpr Duration kYoung = seconds(1);
constexpr Duration kFirstPause = milliseconds(10);
constexpr Duration kLongestPause = seconds(5);
// A job that is not answered this long after its deadline has a mover that does not run (stopped,
// or stuck in the kernel); it is killed, because only its end is a fence. Long enough that a
// starved machine is not mistaken for one.
constexpr Duration kStuck = seconds(4);
constexpr Duration kWatchEvery = milliseconds(500);
// Control messages that a mover has not read. More are only piled up by one that does not run.
constexpr size_t kMaxOutgoing = 65536;

enum class Source : uint32_t { kDone, kEnded, kWritable, kRestart, kWatch };

Result<Fd> MakeTimer() {
  Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return Fail(Errc::kIo, "timerfd_create", errno);
  return timer;
}

timespec ToTimespec(Duration duration) {
  return {duration.count() / 1'000'000'000, duration.count() % 1'000'000'000};
}

// After `delay`, and then every `period` unless that is zero. A zero delay disarms.
void Arm(int timer, Duration delay, Duration period) {
  const itimerspec when{ToTimespec(period), ToTimespec(delay)};
  HR_CHECK(::timerfd_settime(timer, 0, &when, nullptr) == 0);
}

void ClearTimer(int timer) {
  uint64_t count = 0;
  const ssize_t got = ::read(timer, &count, sizeof count);
  HR_CHECK(got == sizeof count || errno == EAGAIN || errno == EINTR);
}

class ProcessMover : public Mover {
 public:
  ProcessMover(Channel channel, const MoverOptions& options)
      : options_(options), channel_(std::move(channel)), tickets_(&channel_) {}

  Status Open();

  Status AddRegion(const SharedRegion& region) override;
  Status AddBuffer(wire::BufferId id, const BufferSource& source,
                   const wire::Layout& layout) override;
  void DropBuffer(wire::BufferId id) override;
  Status Submit(const Job& job) override;
  void Cancel(wire::Ticket ticket) override { tickets_.Cancel(ticket); }
  int event_fd() const override { return epoll_.get(); }
  size_t Poll(std::vector<wire::CopyDone>* out) override;
  MoverStats stats() const override;
  std::string Describe() const override;

 private:
  struct Region {
    Fd fd;
    uint64_t bytes = 0;
  };
  struct Outgoing {
    ControlKind kind{};
    uint32_t id = 0;  // buffer, or index of the region
  };

  Status Watch(int fd, Source source);
  Status StartChild();
  void Tell(ControlKind kind, uint32_t id);
  void Flush();
  Status Send(const Outgoing& outgoing);
  size_t OnEnd(std::vector<wire::CopyDone>* out);
  void Restart();
  void RestartAfter(Duration pause);
  void KillIfStuck();

  const MoverOptions options_;
  Channel channel_;
  Tickets tickets_;
  Fd epoll_, restart_timer_, watch_timer_;
  bool watching_ = false;

  std::vector<Region> regions_;  // what every new life is told
  std::map<wire::BufferId, BufferImport> imports_;

  Child child_;
  std::deque<Outgoing> outgoing_;
  bool wants_write_ = false;
  uint64_t control_seq_ = 0;  // messages of this life, sent or not
  Duration pause_ = Duration(0);
  uint64_t restarts_ = 0;
  uint64_t past_cpu_nanos_ = 0;
};

Status ProcessMover::Open() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Fail(Errc::kIo, "epoll_create1", errno);
  HR_TRY(restart_timer_, MakeTimer());
  HR_TRY(watch_timer_, MakeTimer());
  HR_RETURN_IF_ERROR(Watch(channel_.done_fd(), Source::kDone));
  HR_RETURN_IF_ERROR(Watch(restart_timer_.get(), Source::kRestart));
  HR_RETURN_IF_ERROR(Watch(watch_timer_.get(), Source::kWatch));
  return StartChild();
}

Status ProcessMover::Watch(int fd, Source source) {
  epoll_event event{};
  event.events = source == Source::kWritable ? EPOLLOUT : EPOLLIN;
  event.data.u32 = static_cast<uint32_t>(source);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return Fail(Errc::kIo, "watching the mover process", errno);
}

Status ProcessMover::StartChild() {
  channel_.Reset();
  outgoing_.clear();
  wants_write_ = false;
  control_seq_ = 0;
  HR_TRY(child_, Child::Start(options_.program));
  HR_RETURN_IF_ERROR(Watch(child_.pidfd(), Source::kEnded));
  ControlMessage start;
  start.version = kChannelVersion;
  start.threads = options_.threads;
  start.chunk_bytes = options_.chunk_bytes;
  start.fds = {channel_.memory_fd(), channel_.wake_fd(), channel_.done_fd(), -1};
  HR_RETURN_IF_ERROR(SendControl(child_.socket(), start));
  for (uint32_t i = 0; i < regions_.size(); ++i) Tell(ControlKind::kAddRegion, i);
  for (const auto& [id, import] : imports_) Tell(ControlKind::kAddBuffer, id);
  return {};
}

// Without a process there is nobody to tell; the next life hears of everything.
void ProcessMover::Tell(ControlKind kind, uint32_t id) {
  if (!child_.running()) return;
  ++control_seq_;
  outgoing_.push_back({kind, id});
  if (outgoing_.size() > kMaxOutgoing) {
    HR_WARN("mover process {} does not read what it is told: killed", child_.pid());
    child_.Kill();
    return;
  }
  Flush();
}

void ProcessMover::Flush() {
  while (!outgoing_.empty()) {
    const Status sent = Send(outgoing_.front());
    if (sent) {
      outgoing_.pop_front();
      continue;
    }
    // A process that hung up is about to end, and its pidfd tells.
    if (sent.error().code == Errc::kLimit && !wants_write_) {
      wants_write_ = Watch(child_.socket(), Source::kWritable).has_value();
    }
    return;
  }
  if (!wants_write_) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, child_.socket(), nullptr);
  wants_write_ = false;
}

Status ProcessMover::Send(const Outgoing& outgoing) {
  ControlMessage message;
  message.kind = outgoing.kind;
  message.buffer = outgoing.id;
  if (outgoing.kind == ControlKind::kAddRegion) {
    message.bytes = regions_[outgoing.id].bytes;
    message.fds[0] = regions_[outgoing.id].fd.get();
  } else if (outgoing.kind == ControlKind::kAddBuffer) {
    const auto import = imports_.find(outgoing.id);
    if (import != imports_.end()) {
      message = MessageOf(import->second);
    } else {
      message.kind = ControlKind::kDropBuffer;  // dropped before it was sent; keeps its number
    }
  }
  return SendControl(child_.socket(), message);
}

Status ProcessMover::AddRegion(const SharedRegion& region) {
  const uint64_t bytes = region.mapping.size();
  Fd own(::fcntl(region.fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!own.valid()) return Fail(Errc::kIo, "duplicating a pool region's descriptor", errno);
  regions_.push_back({std::move(own), bytes});
  tickets_.AddRegion(bytes);
  Tell(ControlKind::kAddRegion, static_cast<uint32_t>(regions_.size() - 1));
  return {};
}

Status ProcessMover::AddBuffer(wire::BufferId id, const BufferSource& source,
                               const wire::Layout& layout) {
  HR_TRY(auto import, MakeImport(id, source, layout));
  if (import.file.valid()) {
    // Only to learn now what the mover would learn later.
    HR_RETURN_IF_ERROR(Mapping::Map(import.file.get(), import.offset, import.bytes));
  }
  HR_RETURN_IF_ERROR(tickets_.AddBuffer(import));
  imports_.emplace(id, std::move(import));
  Tell(ControlKind::kAddBuffer, id);
  return {};
}

void ProcessMover::DropBuffer(wire::BufferId id) {
  if (!tickets_.DropBuffer(id)) return;
  imports_.erase(id);
  Tell(ControlKind::kDropBuffer, id);
}

Status ProcessMover::Submit(const Job& job) {
  if (!child_.running()) return Fail(Errc::kUnavailable, "the mover process is being restarted");
  HR_RETURN_IF_ERROR(tickets_.Submit(job, control_seq_));
  channel_.Wake(1);
  if (!watching_) {
    watching_ = true;
    Arm(watch_timer_.get(), kWatchEvery, kWatchEvery);
  }
  return {};
}

size_t ProcessMover::Poll(std::vector<wire::CopyDone>* out) {
  std::array<epoll_event, 8> events{};
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  HR_CHECK(ready >= 0 || errno == EINTR);
  bool ended = false;
  bool restart = false;
  for (int i = 0; i < ready; ++i) {
    switch (static_cast<Source>(events[static_cast<size_t>(i)].data.u32)) {
      case Source::kDone:
        channel_.ClearDone();
        break;
      case Source::kEnded:
        ended = true;
        break;
      case Source::kWritable:
        Flush();
        break;
      case Source::kRestart:
        ClearTimer(restart_timer_.get());
        restart = true;
        break;
      case Source::kWatch:
        ClearTimer(watch_timer_.get());
        KillIfStuck();
        break;
    }
  }
  size_t count = tickets_.Collect(out);
  if (ended && child_.running()) count += OnEnd(out);
  if (restart) Restart();
  return count;
}

size_t ProcessMover::OnEnd(std::vector<wire::CopyDone>* out) {
  const pid_t pid = child_.pid();
  const Duration lived = MonotonicNow() - child_.started();
  // The kernel forgets a closed descriptor only when nobody else holds the file.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, child_.pidfd(), nullptr);
  if (wants_write_) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, child_.socket(), nullptr);
  wants_write_ = false;
  const Child::End end = child_.Reap();
  past_cpu_nanos_ += end.cpu_nanos;
  const size_t finished = tickets_.Collect(out);  // what it still managed to answer
  const size_t failed = tickets_.FailAll(Errc::kIo, out);
  HR_WARN("mover process {} ended ({}): {} copies failed, starting another", pid, end.words,
          failed);
  if (lived >= kYoung) {
    pause_ = Duration(0);
    Restart();
  } else {
    RestartAfter(std::clamp(pause_ * 2, kFirstPause, kLongestPause));
  }
  return finished + failed;
}

void ProcessMover::RestartAfter(Duration pause) {
  pause_ = pause;
  Arm(restart_timer_.get(), pause, Duration(0));
}

void ProcessMover::Restart() {
  if (child_.running()) return;
  const Status started = StartChild();
  if (started) {
    ++restarts_;
    return;
  }
  HR_ERROR("mover process {} cannot be started: {} ({})", options_.program, started.error().what,
           ::strerrordesc_np(started.error().os));
  if (child_.running()) {  // it runs, but could not be told: its end brings another
    child_.Kill();
    return;
  }
  RestartAfter(std::clamp(pause_ * 2, kFirstPause, kLongestPause));
}

void ProcessMover::KillIfStuck() {
  if (tickets_.idle() || !child_.running()) {
    watching_ = false;
    Arm(watch_timer_.get(), Duration(0), Duration(0));
    return;
  }
  const Time deadline = tickets_.EarliestDeadline();
  if (deadline == Time{}) return;
  if (MonotonicNow() < std::max(deadline, child_.started()) + kStuck) return;
  HR_WARN("mover process {} does not answer after its deadline: killed", child_.pid());
  child_.Kill();
}

MoverStats ProcessMover::stats() const {
  MoverStats stats = ReadStats(channel_);
  stats.restarts = restarts_;
  stats.busy_nanos = past_cpu_nanos_ + child_.cpu_nanos();
  return stats;
}

std::string ProcessMover::Describe() const {
  return fmt::format("process {} (pid {}), {} thread{}, {}", options_.program, child_.pid(),
                     options_.threads, options_.threads == 1 ? "" : "s", DescribeCopies());
}

}  // namespace

Result<std::unique_ptr<Mover>> CreateProcessMover(const MoverOptions& options) {
  HR_TRY(auto channel, Channel::Create(options.ring_blocks));
  auto mover = std::make_unique<ProcessMover>(std::move(channel), options);
  HR_RETURN_IF_ERROR(mover->Open());
  return std::unique_ptr<Mover>(std::move(mover));
}

}  // namespace headrace::transport
