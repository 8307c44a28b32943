// What the core tells a mover to do, and what the mover answers: plain words that fit a ring in
// shared memory, so that a mover may be a thread or a process. Any thread.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace headrace::wire {

using Ticket = uint64_t;    // one copy job; never reused while a server lives
using BufferId = uint32_t;  // one imported engine buffer with its layout (instance, rank, group)

enum class Direction : uint8_t { kSave = 0, kLoad = 1 };  // engine -> pool, pool -> engine

// A block of the engine's buffer and the slot in the pool that it is copied to or from.
struct BlockCopy {
  uint64_t slot_offset = 0;  // in the region
  uint32_t region = 0;       // pool region
  uint32_t block = 0;        // engine block id
};

inline constexpr uint32_t kNoGate = 0xffffffff;

// Completion of one ticket: sent exactly once, and only when no thread will touch the ticket's
// memory again (the fence).
struct CopyDone {
  Ticket ticket = 0;
  uint64_t bytes = 0;     // moved; all of the job's when code is kOk
  Errc code = Errc::kOk;  // kOk, kCancelled, kTimeout, kIo (fault or dead mover)
};

// One word a running load or save, in a page that the client shares ("gate page";
// docs/protocol.md). A mover adds one before it touches a chunk and takes it off after; when the
// word it added to was revoked it leaves at once and touches nothing. At the end of a save it sets
// kCommitted unless kRevoked stands. A client that wants its blocks back sets kRevoked: a load's
// blocks are free when no writer is inside, a save's when kCommitted was not set. That holds even
// when the server is frozen and reads the request only later. All accesses are sequentially
// consistent.
struct Gate {
  static constexpr uint32_t kWriters = 0x0000ffff;    // movers inside a chunk
  static constexpr uint32_t kCommitted = 0x40000000;  // a save's blocks may be published
  static constexpr uint32_t kRevoked = 0x80000000;    // the owner took its blocks back
};

}  // namespace headrace::wire
