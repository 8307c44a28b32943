// An engine's buffer as the copying side sees it: its memory (mapped, or in another process), where
// the runs of a block lie, and the gates of the session that lent it. Immutable after Open but for
// what is noted about mapped pages; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "transport/local/cma.h"
#include "transport/local/gate.h"
#include "transport/memory.h"
#include "transport/mover.h"
#include "wire/copy.h"
#include "wire/layout.h"

namespace headrace::transport {

inline constexpr uint64_t kMaxGateBytes = 1u << 20;

// All that is needed to open a buffer, here or in a mover process. The descriptors are own
// duplicates.
struct BufferImport {
  wire::BufferId id = 0;
  Fd file;     // invalid: by process
  Fd process;  // pidfd, when by process
  Fd gates;    // invalid: none
  Fd session;  // kept so that the client's hang-up waits for this buffer; may be invalid
  int pid = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t gate_bytes = 0;
  wire::Layout layout;
};

// Checks what the client gave and duplicates its descriptors.
Result<BufferImport> MakeImport(wire::BufferId id, const BufferSource& source,
                                const wire::Layout& layout);

// A mapping of memory that somebody else may have touched first. A fresh mapping of pages that
// exist takes a fault a page when it is written to, which is slower than the copy itself; reading
// the pages in, by pieces, takes one for sixteen. Any thread.
class TouchedMapping {
 public:
  static Result<std::unique_ptr<TouchedMapping>> Map(int fd, uint64_t offset, uint64_t bytes);
  // A mapping whose pages are backed through itself before a copy touches them: there is nothing to
  // prepare. It must outlive this object.
  static std::unique_ptr<TouchedMapping> Borrow(const Mapping& mapping);

  // Before a copy touches [offset, offset + bytes).
  void Prepare(uint64_t offset, uint64_t bytes) {
    for (uint64_t piece = offset / kPiece; piece <= (offset + bytes - 1) / kPiece; ++piece) {
      if (!touched_[piece].load(std::memory_order_relaxed)) Touch(piece);
    }
  }
  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  static constexpr uint64_t kPiece = 2u << 20;
  TouchedMapping(uint8_t* data, uint64_t size)
      : data_(data), size_(size), touched_((size + kPiece - 1) / kPiece) {}
  void Touch(uint64_t piece);

  uint8_t* const data_;
  const uint64_t size_;
  Mapping own_;  // none when borrowed
  std::vector<std::atomic<bool>> touched_;
};

// A contiguous part of a copy: where in the buffer, where in the pool.
struct Run {
  uint64_t buffer_offset = 0;
  TouchedMapping* region = nullptr;
  uint64_t region_offset = 0;
  uint64_t bytes = 0;
};

class Buffer {
 public:
  // The import's session descriptor stays open as long as this object.
  static Result<std::unique_ptr<Buffer>> Open(BufferImport import);

  // Runs of block 0, with slot-relative offsets; block b is b * block_stride further.
  struct BlockRun {
    uint64_t buffer_offset;
    uint64_t slot_offset;
    uint64_t bytes;
  };
  std::span<const BlockRun> block_runs() const { return block_runs_; }
  uint64_t block_stride() const { return layout_.block_stride; }
  uint64_t num_blocks() const { return layout_.num_blocks; }
  uint64_t slot_bytes() const { return slot_bytes_; }
  bool by_process() const { return memory_ == nullptr; }

  // The word of a gate, or null for kNoGate. REQUIRES: HasGate(gate).
  uint32_t* gate(uint32_t index) const;
  bool HasGate(uint32_t index) const;

  // True once: a log line a buffer is enough, clients can cause any number of faults.
  bool FirstFault() const { return !faulted_.exchange(true); }

  // Copies one chunk, all in one region, under its gate (null: none). kCancelled when the gate is
  // revoked, kIo when memory on either side cannot be had. At return the bytes are visible to all
  // and nothing more is written. `next` is the run that will follow, or null.
  Errc CopyChunk(wire::Direction direction, uint32_t* gate, std::span<const Run> runs,
                 const Run* next) const;
  // After all chunks of a save: whether its bytes may be published.
  Errc CommitSave(uint32_t* gate) const;

 private:
  Errc CopyMapped(wire::Direction direction, uint32_t* gate, std::span<const Run> runs,
                  const Run* next) const;
  Errc CopyByProcess(wire::Direction direction, uint32_t* gate, std::span<const Run> runs) const;

  std::unique_ptr<TouchedMapping> memory_;  // null: by process
  Mapping gates_;
  Fd process_;
  Fd session_;
  int pid_ = 0;
  uint64_t address_ = 0;  // by process
  uint64_t slot_bytes_ = 0;
  wire::Layout layout_;
  std::vector<BlockRun> block_runs_;
  mutable std::atomic<bool> faulted_ = false;
};

}  // namespace headrace::transport
