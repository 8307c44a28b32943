#include "transport/local/copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace headrace::transport {
namespace {

void CopyLibc(uint8_t* dst, const uint8_t* src, size_t n, const uint8_t* /*next*/) {
  std::memcpy(dst, src, n);
}

#if defined(__x86_64__)

constexpr size_t kLine = 64;
constexpr size_t kStep = 2 * kLine;
// How far ahead a copy prefetches. Short ones win with less: what is prefetched past their end is
// only useful when it is the next copy's start.
constexpr size_t kShortLead = 512;
constexpr size_t kLongLead = 1024;
constexpr size_t kLongCopy = 128u << 10;

// What all kernels share: where the aligned middle lies and what is prefetched when.
struct Plan {
  size_t head;       // bytes before the first aligned line of dst
  size_t middle;     // multiple of kStep
  size_t own;        // of the middle: prefetching reaches into this copy
  size_t lead;       // distance of the prefetch
  const char* next;  // prefetched during the rest of the middle
};

inline Plan MakePlan(const uint8_t* dst, const uint8_t* src, size_t n, const uint8_t* next) {
  Plan plan{};
  plan.head = (kLine - reinterpret_cast<uintptr_t>(dst) % kLine) % kLine;
  plan.middle = (n - plan.head) / kStep * kStep;
  plan.lead = n >= kLongCopy ? kLongLead : kShortLead;
  plan.own = plan.middle > plan.lead ? plan.middle - plan.lead : 0;
  const uint8_t* after = next != nullptr ? next : src + plan.head + plan.middle;
  plan.next = reinterpret_cast<const char*>(after);
  // Early, because a scattered next copy begins with a page walk, which takes as long as copying
  // 4 KiB: 11.7 instead of 7 GB/s at 4 KiB segments.
  _mm_prefetch(plan.next, _MM_HINT_T0);
  return plan;
}

// The unaligned ends, by plain copies.
inline void CopyEnds(const Plan& plan, uint8_t* dst, const uint8_t* src, size_t n) {
  std::memcpy(dst, src, plan.head);
  const size_t done = plan.head + plan.middle;
  std::memcpy(dst + done, src + done, n - done);
}

inline void PrefetchStep(const char* address) {
  _mm_prefetch(address, _MM_HINT_T0);
  _mm_prefetch(address + kLine, _MM_HINT_T0);
}

__attribute__((target("avx512f"))) inline void Step512(uint8_t* dst, const uint8_t* src) {
  const __m512i a = _mm512_loadu_si512(src);
  const __m512i b = _mm512_loadu_si512(src + 64);
  _mm512_stream_si512(reinterpret_cast<__m512i*>(dst), a);
  _mm512_stream_si512(reinterpret_cast<__m512i*>(dst + 64), b);
}

__attribute__((target("avx2"))) inline void Step256(uint8_t* dst, const uint8_t* src) {
  const auto* from = reinterpret_cast<const __m256i*>(src);
  auto* to = reinterpret_cast<__m256i*>(dst);
  const __m256i a = _mm256_loadu_si256(from);
  const __m256i b = _mm256_loadu_si256(from + 1);
  const __m256i c = _mm256_loadu_si256(from + 2);
  const __m256i d = _mm256_loadu_si256(from + 3);
  _mm256_stream_si256(to, a);
  _mm256_stream_si256(to + 1, b);
  _mm256_stream_si256(to + 2, c);
  _mm256_stream_si256(to + 3, d);
}

inline void Step128(uint8_t* dst, const uint8_t* src) {
  const auto* from = reinterpret_cast<const __m128i*>(src);
  auto* to = reinterpret_cast<__m128i*>(dst);
  for (size_t i = 0; i < kStep / 16; i += 4) {
    const __m128i a = _mm_loadu_si128(from + i);
    const __m128i b = _mm_loadu_si128(from + i + 1);
    const __m128i c = _mm_loadu_si128(from + i + 2);
    const __m128i d = _mm_loadu_si128(from + i + 3);
    _mm_stream_si128(to + i, a);
    _mm_stream_si128(to + i + 1, b);
    _mm_stream_si128(to + i + 2, c);
    _mm_stream_si128(to + i + 3, d);
  }
}

// One body for all widths: a function with a target attribute cannot be a template's parameter and
// still be inlined.
#define HR_STREAM_BODY(step)                                           \
  if (n < kNonTemporalMin) return CopyLibc(dst, src, n, next);         \
  const Plan plan = MakePlan(dst, src, n, next);                       \
  uint8_t* to = dst + plan.head;                                       \
  const uint8_t* from = src + plan.head;                               \
  const char* ahead = reinterpret_cast<const char*>(from) + plan.lead; \
  size_t i = 0;                                                        \
  for (; i < plan.own; i += kStep) {                                   \
    PrefetchStep(ahead + i);                                           \
    step(to + i, from + i);                                            \
  }                                                                    \
  for (; i < plan.middle; i += kStep) {                                \
    PrefetchStep(plan.next + (i - plan.own));                          \
    step(to + i, from + i);                                            \
  }                                                                    \
  CopyEnds(plan, dst, src, n)

__attribute__((target("avx512f"))) void CopyAvx512(uint8_t* dst, const uint8_t* src, size_t n,
                                                   const uint8_t* next) {
  HR_STREAM_BODY(Step512);
}

__attribute__((target("avx2"))) void CopyAvx2(uint8_t* dst, const uint8_t* src, size_t n,
                                              const uint8_t* next) {
  HR_STREAM_BODY(Step256);
}

void CopySse2(uint8_t* dst, const uint8_t* src, size_t n, const uint8_t* next) {
  HR_STREAM_BODY(Step128);
}

#undef HR_STREAM_BODY

#endif  // __x86_64__

std::vector<CopyKernel> FindKernels() {
  std::vector<CopyKernel> found;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) found.push_back({"avx2 non-temporal", CopyAvx2});
  if (__builtin_cpu_supports("avx512f")) found.push_back({"avx512 non-temporal", CopyAvx512});
  found.push_back({"sse2 non-temporal", CopySse2});
#endif
  found.push_back({"libc", CopyLibc});
  return found;
}

}  // namespace

std::span<const CopyKernel> CopyKernels() {
  static const std::vector<CopyKernel> kernels = FindKernels();
  return kernels;
}

const CopyKernel& BestCopyKernel() {
  return CopyKernels().front();
}

void CopyFence() {
#if defined(__x86_64__)
  _mm_sfence();
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

}  // namespace headrace::transport
