// A block as runs of bytes: segments that adjoin both in the buffer and in the slot are one run, so
// that a cross-layer block is one copy and a blocks-first block one a layer. Any thread.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "wire/layout.h"

namespace headrace::wire {

// Calls f(buffer_offset, slot_offset, bytes) for each run, in order of slot_offset; slot offsets
// count from the start of the slot and the runs cover it exactly. Another block's runs differ only
// in buffer_offset, by the distance of the blocks times block_stride.
// REQUIRES: layout is valid and block < num_blocks.
template <typename F>
void ForEachRun(const Layout& layout, uint64_t block, F&& f) {
  HR_DCHECK(block < layout.num_blocks);
  const uint64_t step = layout.segment_bytes;
  uint64_t start = 0, slot = 0, bytes = 0;  // of the run that grows
  for (uint32_t part = 0; part < layout.parts; ++part) {
    for (uint32_t layer = 0; layer < layout.num_layers(); ++layer) {
      const uint64_t offset = layout.SegmentOffset(layer, block, part);
      if (bytes != 0 && offset == start + bytes) {
        bytes += step;
        continue;
      }
      if (bytes != 0) f(start, slot, bytes);
      start = offset;
      slot += bytes;
      bytes = step;
    }
  }
  if (bytes != 0) f(start, slot, bytes);
}

}  // namespace headrace::wire
