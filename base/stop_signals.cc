#include "base/stop_signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

namespace headrace {
namespace {

std::atomic<int> g_write_end = -1;  // set by Catch, read by the handler
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler reads it");

void OnSignal(int) {
  const int saved = errno;
  const char byte = 1;
  // A full pipe means that the stop is known already.
  const ssize_t written = ::write(g_write_end.load(), &byte, 1);
  static_cast<void>(written);
  errno = saved;
}

void Install(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  HR_CHECK(::sigaction(signal, &action, nullptr) == 0);
}

}  // namespace

StopSignals::StopSignals(Fd read_end, Fd write_end)
    : read_end_(std::move(read_end)), write_end_(std::move(write_end)) {}

Result<StopSignals> StopSignals::Catch() {
  HR_CHECK(g_write_end.load() == -1);
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return Fail(Errc::kIo, "pipe2", errno);
  StopSignals signals{Fd(ends[0]), Fd(ends[1])};
  g_write_end.store(ends[1]);
  Install(SIGTERM, OnSignal);
  Install(SIGINT, OnSignal);
  Install(SIGPIPE, SIG_IGN);
  Install(SIGHUP, SIG_IGN);
  return signals;
}

StopSignals::~StopSignals() {
  if (!write_end_.valid()) return;
  // The process is about to end: a late signal must not end it with another exit status.
  Install(SIGTERM, SIG_IGN);
  Install(SIGINT, SIG_IGN);
  g_write_end.store(-1);
}

void StopSignals::Drain() {
  char bytes[16];
  while (::read(read_end_.get(), bytes, sizeof(bytes)) > 0) {
  }
}

}  // namespace headrace
