#include "transport/local/chunks.h"

#include <algorithm>

namespace headrace::transport {

bool ChunkCursor::Next(std::vector<Run>* runs) {
  runs->clear();
  uint64_t bytes = 0;
  while (block_ < blocks_.size() && bytes < chunk_bytes_ && runs->size() < kCmaMaxRuns) {
    const TouchedMapping* region = regions_[blocks_[block_].region].get();
    if (!runs->empty() && runs->front().region != region) break;
    TakeRun(chunk_bytes_ - bytes, runs);
    bytes += runs->back().bytes;
  }
  return !runs->empty();
}

void ChunkCursor::TakeRun(uint64_t room, std::vector<Run>* runs) {
  const wire::BlockCopy& block = blocks_[block_];
  const Buffer::BlockRun& whole = buffer_.block_runs()[run_];
  const uint64_t bytes = std::min(room, whole.bytes - taken_);
  runs->push_back(
      {.buffer_offset = whole.buffer_offset + block.block * buffer_.block_stride() + taken_,
       .region = regions_[block.region].get(),
       .region_offset = block.slot_offset + whole.slot_offset + taken_,
       .bytes = bytes});
  taken_ += bytes;
  if (taken_ < whole.bytes) return;
  taken_ = 0;
  if (++run_ < buffer_.block_runs().size()) return;
  run_ = 0;
  ++block_;
}

}  // namespace headrace::transport
