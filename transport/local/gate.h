// The mover's side of the gate protocol (wire/copy.h). The word lies in memory that an untrusted
// client writes at will: whatever it holds, these functions end, and decide nothing but whether the
// client's own blocks are still lent. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "wire/copy.h"

namespace headrace::transport {

using GateWord = std::atomic_ref<uint32_t>;
static_assert(GateWord::is_always_lock_free, "shared between processes");

// Before a chunk is written. False: the owner took its blocks back, write nothing.
inline bool EnterGate(GateWord word) {
  if ((word.fetch_add(1) & wire::Gate::kRevoked) == 0) return true;
  word.fetch_sub(1);
  return false;
}

// After a chunk; the caller made its bytes visible first.
inline void LeaveGate(GateWord word) {
  word.fetch_sub(1);
}

inline bool GateRevoked(GateWord word) {
  return (word.load() & wire::Gate::kRevoked) != 0;
}

// At the end of a save: true when its bytes may be published. From then on the owner knows that
// revoking came too late.
inline bool CommitGate(GateWord word) {
  constexpr int kTries = 64;  // an owner that keeps changing its word does not want the save
  uint32_t seen = word.load();
  for (int i = 0; i < kTries; ++i) {
    if ((seen & wire::Gate::kRevoked) != 0) return false;
    if (word.compare_exchange_weak(seen, seen | wire::Gate::kCommitted)) return true;
  }
  return false;
}

}  // namespace headrace::transport
