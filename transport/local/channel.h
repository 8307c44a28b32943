// What the core's thread and the copying side share: one piece of memory with the rings of jobs,
// their blocks and completions, and three words. The sides may be threads or processes.
//
// In memory: ChannelHeader, a cancel word for each job slot, then three rings (base/ring.h), each
// on a 64-byte boundary: JobHead, wire::BlockCopy, wire::CopyDone. The producer pushes a job's
// blocks before its head. No ring can overflow, because the core's side counts the blocks that it
// has not got back (a job without blocks counts as one).
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "base/ring.h"
#include "transport/memory.h"
#include "wire/copy.h"

namespace headrace::transport {

struct JobHead {
  wire::Ticket ticket = 0;
  int64_t deadline = 0;      // ToWire; 0: none
  uint64_t control_seq = 0;  // control messages that must have been carried out before
  uint32_t slot = 0;         // of its cancel word
  wire::BufferId buffer = 0;
  uint32_t gate = wire::kNoGate;
  uint32_t blocks = 0;
  wire::Direction direction = wire::Direction::kSave;
  uint8_t reserved[7] = {};
};
static_assert(sizeof(JobHead) == 48);

// Written by the copying side, read by the core's.
struct ChannelStats {
  std::atomic<uint64_t> save_bytes, load_bytes, shm_bytes, cma_bytes;
  std::atomic<uint64_t> jobs, cancelled, faults;
};

inline constexpr uint32_t kChannelVersion = 1;

struct ChannelHeader {
  uint32_t version;
  uint32_t capacity;                           // of each ring and of the cancel words
  alignas(64) std::atomic<uint32_t> sleepers;  // copying threads that need a wake-up
  std::atomic<uint32_t> stop;                  // copying threads end at their next chunk
  std::atomic<uint32_t> cancels;               // grows with every cancel: look at the words
  alignas(64) ChannelStats stats;
};

// Movable view with its own mapping. `heads` and `blocks` are pushed by the core's thread and
// popped by the copying side under its lock; `done` the other way round.
class Channel {
 public:
  // Of at least `blocks` blocks; makes the shared file and both event descriptors.
  static Result<Channel> Create(uint32_t blocks);
  // The other process's end, from descriptors that came from Create.
  static Result<Channel> Attach(Fd memory, Fd wake, Fd done);

  // Empties it for a new copying side. REQUIRES: nobody else uses it. Statistics stay.
  void Reset();

  uint32_t capacity() const { return capacity_; }
  ChannelHeader& header() const { return *header_; }
  std::atomic<uint32_t>& cancel_word(uint32_t slot) const;
  Ring<JobHead>& heads() { return *heads_; }
  Ring<wire::BlockCopy>& blocks() { return *blocks_; }
  Ring<wire::CopyDone>& done() { return *done_; }

  int memory_fd() const { return memory_.get(); }
  int wake_fd() const { return wake_.get(); }  // semaphore: one count wakes one copying thread
  int done_fd() const { return done_event_.get(); }  // readable while completions may be there

  // After a push: wakes up to `threads` sleeping threads.
  void Wake(uint32_t threads);
  // Copying thread, in this order: announces that it will sleep, while it still holds the lock
  // under which it saw no work; then sleeps until woken, unless a job came meanwhile or the
  // channel stops.
  void AnnounceSleep();
  void Sleep();
  void SignalDone();
  void ClearDone();

 private:
  enum class Rings : uint8_t { kMake, kJoin };
  Status Open(uint32_t capacity, Rings rings);

  Mapping mapping_;
  Fd memory_, wake_, done_event_;
  uint32_t capacity_ = 0;
  ChannelHeader* header_ = nullptr;
  std::atomic<uint32_t>* cancel_words_ = nullptr;
  std::optional<Ring<JobHead>> heads_;
  std::optional<Ring<wire::BlockCopy>> blocks_;
  std::optional<Ring<wire::CopyDone>> done_;
};

}  // namespace headrace::transport
