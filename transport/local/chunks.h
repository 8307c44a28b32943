// Cuts blocks of a job into chunks: the pieces between which a gate, a cancel and a deadline are
// looked at. Pure; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "transport/local/buffer.h"
#include "wire/copy.h"

namespace headrace::transport {

using Regions = std::span<const std::unique_ptr<TouchedMapping>>;

class ChunkCursor {
 public:
  // What it is given must outlive it. REQUIRES: every block and slot is in range.
  ChunkCursor(const Buffer& buffer, Regions regions, std::span<const wire::BlockCopy> blocks,
              uint64_t chunk_bytes)
      : buffer_(buffer), regions_(regions), blocks_(blocks), chunk_bytes_(chunk_bytes) {}

  // Replaces `runs` by the next chunk: at most chunk_bytes in at most kCmaMaxRuns runs of one
  // region. False, and no runs, at the end.
  bool Next(std::vector<Run>* runs);

 private:
  void TakeRun(uint64_t room, std::vector<Run>* runs);

  const Buffer& buffer_;
  const Regions regions_;
  const std::span<const wire::BlockCopy> blocks_;
  const uint64_t chunk_bytes_;
  size_t block_ = 0;  // position: block, run of the block, bytes of the run
  size_t run_ = 0;
  uint64_t taken_ = 0;
};

}  // namespace headrace::transport
