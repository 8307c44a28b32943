// Cross-memory attach: copies between this process and an engine's private memory, for engines that
// cannot pass a descriptor. One copy by the kernel; half the speed of shared memory.
// A process is named by pid, which the kernel may give to another one after its death; so a pidfd
// taken while the credentials were fresh is asked before every call. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::transport {

// One contiguous piece of a copy.
struct CmaRun {
  uint8_t* local = nullptr;
  uint64_t remote = 0;  // address in the process
  uint64_t bytes = 0;
};

inline constexpr size_t kCmaMaxRuns = 1024;  // IOV_MAX: one more is EINVAL

// kNotFound when the process is gone, kUnsupported when the kernel lacks pidfd_open.
Result<Fd> OpenPidFd(int pid);

enum class CmaDirection : uint8_t { kRead, kWrite };  // from the process, into it

// Copies all runs, or fails with kIo (process gone, address not mapped, not permitted); then any
// part may have been copied. Runs beyond kCmaMaxRuns take further calls.
Status CmaCopy(int pid, int pidfd, CmaDirection direction, std::span<const CmaRun> runs);

}  // namespace headrace::transport
