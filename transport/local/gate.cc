#include "transport/local/gate.h"

#include <atomic>

namespace headrace::transport {
namespace {

using wire::Gate;

static_assert(std::atomic<uint32_t>::is_always_lock_free, "shared between processes");

// An owner that keeps changing its word does not want the save.
constexpr int kCommitTries = 64;

}  // namespace

// Built-ins in functions that the thread sanitizer leaves alone: its own atomic operations hold a
// lock, which the jump out of a fault in a truncated page would never give back. It could tell
// nothing anyway about a word whose other users are in another process.
#define HR_PLAIN __attribute__((no_sanitize("thread"), noinline))

HR_PLAIN bool EnterGate(uint32_t* word) {
  if ((__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST) & Gate::kRevoked) == 0) return true;
  __atomic_fetch_sub(word, 1, __ATOMIC_SEQ_CST);
  return false;
}

HR_PLAIN void LeaveGate(uint32_t* word) {
  __atomic_fetch_sub(word, 1, __ATOMIC_SEQ_CST);
}

HR_PLAIN bool GateRevoked(const uint32_t* word) {
  return (__atomic_load_n(word, __ATOMIC_SEQ_CST) & Gate::kRevoked) != 0;
}

HR_PLAIN bool CommitGate(uint32_t* word) {
  uint32_t seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  for (int i = 0; i < kCommitTries; ++i) {
    if ((seen & Gate::kRevoked) != 0) return false;
    const uint32_t committed = seen | Gate::kCommitted;
    if (__atomic_compare_exchange_n(word, &seen, committed, true, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST)) {
      return true;
    }
  }
  return false;
}

#undef HR_PLAIN

}  // namespace headrace::transport
