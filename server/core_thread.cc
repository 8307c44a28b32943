#include "server/core_thread.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace headrace::server {
namespace {

// sched_setattr(2), first version. glibc of Debian 12 has neither the call nor the type, and the
// kernel's header for it cannot be included beside <sched.h>.
struct SchedAttr {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};
static_assert(sizeof(SchedAttr) == 48);  // SCHED_ATTR_SIZE_VER0

}  // namespace

Status AskForShortTurns(Duration turn) {
  SchedAttr attr{};
  if (::syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0) {
    return Fail(Errc::kIo, "sched_getattr", errno);
  }
  // Whoever runs the server under a real-time policy has chosen better already.
  if (attr.policy != SCHED_OTHER && attr.policy != SCHED_BATCH) return {};
  attr.size = sizeof attr;
  attr.flags |= SCHED_FLAG_RESET_ON_FORK;
  attr.runtime = static_cast<uint64_t>(turn.count());
  if (::syscall(SYS_sched_setattr, 0, &attr, 0) != 0) {
    return Fail(Errc::kIo, "sched_setattr", errno);
  }
  return {};
}

}  // namespace headrace::server
