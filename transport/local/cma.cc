#include "transport/local/cma.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace headrace::transport {
namespace {

// One call's worth of runs; advances past what the kernel did.
struct Batch {
  std::array<iovec, kCmaMaxRuns> local;
  std::array<iovec, kCmaMaxRuns> remote;
  size_t first = 0;
  size_t count = 0;

  void Fill(std::span<const CmaRun> runs) {
    HR_CHECK(runs.size() <= kCmaMaxRuns);
    first = 0;
    count = runs.size();
    for (size_t i = 0; i < count; ++i) {
      local[i] = {runs[i].local, runs[i].bytes};
      remote[i] = {reinterpret_cast<void*>(runs[i].remote), runs[i].bytes};
    }
  }

  // The kernel stops short at any byte, not only between runs.
  void Advance(uint64_t done) {
    while (first < count && done >= local[first].iov_len) done -= local[first++].iov_len;
    if (done == 0) return;
    HR_CHECK(first < count);
    for (iovec* piece : {&local[first], &remote[first]}) {
      piece->iov_base = static_cast<uint8_t*>(piece->iov_base) + done;
      piece->iov_len -= done;
    }
  }
};

bool Alive(int pidfd) {
  struct pollfd item{pidfd, POLLIN, 0};
  return ::poll(&item, 1, 0) == 0;
}

ssize_t Call(int pid, CmaDirection direction, const Batch& batch) {
  const iovec* local = batch.local.data() + batch.first;
  const iovec* remote = batch.remote.data() + batch.first;
  const size_t count = batch.count - batch.first;
  return direction == CmaDirection::kRead
             ? ::process_vm_readv(pid, local, count, remote, count, 0)
             : ::process_vm_writev(pid, local, count, remote, count, 0);
}

}  // namespace

Result<Fd> OpenPidFd(int pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (fd.valid()) return fd;
  if (errno == ENOSYS) return Fail(Errc::kUnsupported, "the kernel has no pidfd_open", errno);
  return Fail(errno == ESRCH ? Errc::kNotFound : Errc::kIo, "pidfd_open of an engine", errno);
}

Status CmaCopy(int pid, int pidfd, CmaDirection direction, std::span<const CmaRun> runs) {
  thread_local Batch batch;  // 32 KiB, too much for every call's stack
  while (!runs.empty()) {
    const size_t count = std::min(runs.size(), kCmaMaxRuns);
    batch.Fill(runs.first(count));
    runs = runs.subspan(count);
    while (batch.first < batch.count) {
      if (!Alive(pidfd)) return Fail(Errc::kIo, "the engine's process is gone", ESRCH);
      const ssize_t done = Call(pid, direction, batch);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return Fail(Errc::kIo, "copying to or from the engine's process", errno);
      batch.Advance(static_cast<uint64_t>(done));
    }
  }
  return {};
}

}  // namespace headrace::transport
