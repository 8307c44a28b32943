// Copies of bytes between buffers that are larger than the caches: non-temporal, so that a transfer
// does not push the engine's working set out, and prefetched in software, because the hardware
// prefetcher stops at each 4 KiB page. The widest kernel that wins here is chosen once, at run
// time. Any thread.
//
// Measured (EPYC family 26, 4 KiB pages, random cold addresses, one core): libc memcpy 12 GB/s at
// 64 KiB and 14 at 2 MiB, AVX2 here 17 and 23, AVX-512 no more. They win from 1 KiB on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::transport {

struct CopyKernel {
  const char* name;
  // `next` is where the following copy will read; its first lines are prefetched while this copy
  // ends. It may be null and need not be readable. Ranges do not overlap. Stores may still be on
  // their way at return: see CopyFence.
  void (*copy)(uint8_t* dst, const uint8_t* src, size_t n, const uint8_t* next);
};

// Below this a kernel uses libc: heads and tails would be most of the copy.
inline constexpr size_t kNonTemporalMin = 1024;

// The kernels that this machine can run, best first; the last is libc.
std::span<const CopyKernel> CopyKernels();
// The first of them.
const CopyKernel& BestCopyKernel();

// Makes this thread's copies visible to all before anything it stores later. Needed before a
// completion, a gate or any other word that says "the bytes are there".
void CopyFence();

}  // namespace headrace::transport
