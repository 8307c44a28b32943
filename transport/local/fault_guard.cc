#include "transport/local/fault_guard.h"

#include <csetjmp>
#include <csignal>
#include <mutex>

#include "base/result.h"

namespace headrace::transport {
namespace {

struct Frame {
  sigjmp_buf jump;
  std::span<const GuardedRange> ranges;
  Frame* outer;
};

// Touched by its thread before any fault, so that the handler never allocates it.
thread_local constinit Frame* volatile innermost = nullptr;

struct sigaction previous_action;  // written once, before the handler can run

bool Covers(const Frame& frame, const void* address) {
  const auto* at = static_cast<const uint8_t*>(address);
  for (const GuardedRange& range : frame.ranges) {
    if (at >= range.data && at < range.data + range.size) return true;
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  Frame* frame = innermost;
  // A fault of the kernel's making has a positive code; a signal that was sent has none.
  if (frame != nullptr && info->si_code > 0 && Covers(*frame, info->si_addr)) {
    siglongjmp(frame->jump, 1);
  }
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  } else {
    // The instruction runs again and ends the process as it would have without this handler.
    ::sigaction(SIGBUS, &previous_action, nullptr);
    if (info->si_code <= 0) ::raise(signal);
  }
}

// Whoever wraps handlers (sanitizers do) may have blocked it around ours; the next fault would then
// end the process.
void UnblockBusError() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

void InstallFaultGuard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = OnBusError;
    // Not blocked while it runs, because it is left by a jump that does not restore the mask.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigemptyset(&action.sa_mask);
    HR_CHECK(::sigaction(SIGBUS, nullptr, &previous_action) == 0);
    HR_CHECK(::sigaction(SIGBUS, &action, nullptr) == 0);
  });
}

bool CallGuarded(std::span<const GuardedRange> ranges, void (*f)(void*), void* argument) {
  Frame frame;
  frame.ranges = ranges;
  frame.outer = innermost;
  // The mask is not saved, which would be a system call a chunk: the handler leaves it alone.
  if (sigsetjmp(frame.jump, 0) != 0) {
    innermost = frame.outer;
    UnblockBusError();
    return false;
  }
  innermost = &frame;
  f(argument);
  innermost = frame.outer;
  return true;
}

}  // namespace headrace::transport
