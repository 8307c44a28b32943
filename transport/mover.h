// Carries out copy jobs between imported engine buffers and the pool. Two forms behind one
// interface: threads of the server, and a process of its own that may die without harm.
// All calls come from the core's thread and none blocks on a copy. Completions are taken by Poll
// when event_fd() is readable.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "transport/memory.h"
#include "wire/copy.h"
#include "wire/layout.h"

namespace headrace::transport {

// How to reach an engine's buffer.
struct BufferSource {
  int fd = -1;          // descriptor of the file; -1: by process (CMA)
  int pid = 0;          // CMA: proved by SO_PEERCRED
  uint64_t offset = 0;  // in the file, or the address in that process
  uint64_t bytes = 0;
  int gate_fd = -1;     // gate page of the session, or -1
  int session_fd = -1;  // the session's socket: a mover process keeps a copy, so that the client
                        // sees the hang-up only when nobody is left who could write
};

struct Job {
  wire::Ticket ticket = 0;
  wire::Direction direction = wire::Direction::kSave;
  wire::BufferId buffer = 0;
  uint32_t gate = wire::kNoGate;
  Time deadline;
  std::span<const wire::BlockCopy> blocks;
};

struct MoverStats {
  uint64_t save_bytes = 0, load_bytes = 0;
  uint64_t shm_bytes = 0, cma_bytes = 0;  // by back end
  uint64_t jobs = 0, cancelled = 0, faults = 0, restarts = 0;
  uint64_t busy_nanos = 0;  // CPU time of the copying threads
};

struct MoverOptions {
  uint32_t threads = 1;
  uint32_t ring_blocks = 16384;     // capacity of the command ring, in blocks
  uint64_t chunk_bytes = 1u << 20;  // a gate and a cancel are looked at once a chunk: 60 us
  std::string program;              // of the mover process; empty: threads
};

class Mover {
 public:
  virtual ~Mover() = default;

  // The pool's regions, in order of their numbers; each before the first job that names it. Its
  // mapping must outlive the mover, and be backed (Populate) where jobs lead.
  virtual Status AddRegion(const SharedRegion& region) = 0;

  // Maps a buffer and remembers its layout under `id`. Descriptors are duplicated. Fails when the
  // file is shorter than the source says, is no memory, or the layout does not fit it.
  virtual Status AddBuffer(wire::BufferId id, const BufferSource& source,
                           const wire::Layout& layout) = 0;
  // Nothing of it is written to any more; it is unmapped a little later, by another thread.
  // REQUIRES: no job of this buffer is unanswered.
  virtual void DropBuffer(wire::BufferId id) = 0;

  // Fails with kLimit when the ring is full, kUnavailable while a mover process is being restarted,
  // and for what a client may have got wrong: kNotFound (buffer), kInvalid (a block id or a gate
  // that does not exist, more blocks than the ring ever holds). Otherwise the job is answered
  // exactly once. A deadline of Time{} is none. REQUIRES: slots lie in their regions.
  virtual Status Submit(const Job& job) = 0;
  // The job ends at its next chunk; its completion is the fence. Unknown tickets are ignored.
  virtual void Cancel(wire::Ticket ticket) = 0;

  virtual int event_fd() const = 0;
  // Moves completions into `out`, oldest first; returns how many.
  virtual size_t Poll(std::vector<wire::CopyDone>* out) = 0;

  virtual MoverStats stats() const = 0;
  // Human words for logs: "2 threads, avx2 non-temporal copies from 1024 bytes on".
  virtual std::string Describe() const = 0;
};

Result<std::unique_ptr<Mover>> CreateMover(const MoverOptions& options);

}  // namespace headrace::transport
