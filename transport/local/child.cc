#include "transport/local/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "transport/local/cma.h"

namespace headrace::transport {
namespace {

constexpr int kChildSocket = 3;

uint64_t Nanos(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1000;
}

// posix_spawn, with the signals as a fresh process expects them. Returns an errno, or 0.
int Spawn(const std::string& program, int socket, pid_t* pid) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&files, socket, kChildSocket);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string name = program;
  std::string argument = "--socket=3";
  std::array<char*, 3> argv{name.data(), argument.data(), nullptr};
  const int error = ::posix_spawn(pid, program.c_str(), &files, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  return error;
}

}  // namespace

Result<Child> Child::Start(const std::string& program) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return Fail(Errc::kIo, "socketpair for the mover process", errno);
  }
  Child child;
  child.socket_ = Fd(pair[0]);
  const Fd theirs(pair[1]);
  const int error = Spawn(program, theirs.get(), &child.pid_);
  if (error != 0) {
    child.pid_ = 0;
    return Fail(Errc::kIo, "starting the mover process", error);
  }
  child.started_ = MonotonicNow();
  HR_TRY(child.pidfd_, OpenPidFd(child.pid_));
  return child;
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pidfd_(std::move(other.pidfd_)),
      socket_(std::move(other.socket_)),
      started_(other.started_) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  HR_CHECK(!running());
  pid_ = std::exchange(other.pid_, 0);
  pidfd_ = std::move(other.pidfd_);
  socket_ = std::move(other.socket_);
  started_ = other.started_;
  return *this;
}

Child::~Child() {
  if (!running()) return;
  Kill();
  Reap();
}

uint64_t Child::cpu_nanos() const {
  clockid_t clock{};
  struct timespec used{};
  if (!running() || ::clock_getcpuclockid(pid_, &clock) != 0) return 0;
  if (::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
}

void Child::Kill() {
  HR_CHECK(running());
  ::kill(pid_, SIGKILL);
}

Child::End Child::Reap() {
  HR_CHECK(running());
  int status = 0;
  struct rusage usage{};
  pid_t got = 0;
  do {
    got = ::wait4(pid_, &status, 0, &usage);
  } while (got < 0 && errno == EINTR);
  End end;
  if (got == pid_) {
    end.words = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                    : fmt::format("exit status {}", WEXITSTATUS(status));
    end.cpu_nanos = Nanos(usage.ru_utime) + Nanos(usage.ru_stime);
  } else {
    // Where SIGCHLD is ignored the kernel reaps by itself; then its pidfd tells of the end.
    HR_CHECK(errno == ECHILD);
    struct pollfd ended{pidfd_.get(), POLLIN, 0};
    while (pidfd_.valid() && ::poll(&ended, 1, -1) < 0) HR_CHECK(errno == EINTR);
    end.words = "unknown status";
  }
  pid_ = 0;
  pidfd_.Reset();
  socket_.Reset();
  return end;
}

}  // namespace headrace::transport
