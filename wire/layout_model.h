// What ValidateLayout and ForEachRun must agree with: every segment of every block, one by one.
// Only for tests and fuzz targets, and only for small layouts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "wire/layout.h"

namespace headrace::wire {

__extension__ using WideOffset = unsigned __int128;  // sums of 64-bit fields do not wrap

inline std::vector<WideOffset> ModelSegments(const Layout& layout) {
  std::vector<WideOffset> starts;
  for (const uint64_t offset : layout.layer_offsets) {
    for (uint64_t block = 0; block < layout.num_blocks; ++block) {
      for (uint32_t part = 0; part < layout.parts; ++part) {
        starts.push_back(WideOffset{offset} + WideOffset{block} * layout.block_stride +
                         WideOffset{part} * layout.part_stride);
      }
    }
  }
  return starts;
}

// Bounds and overlap, for layouts whose fields are in range.
inline bool ModelValid(const Layout& layout, uint64_t buffer_bytes) {
  std::vector<WideOffset> starts = ModelSegments(layout);
  std::sort(starts.begin(), starts.end());
  for (size_t i = 0; i < starts.size(); ++i) {
    if (starts[i] + layout.segment_bytes > buffer_bytes) return false;
    if (i > 0 && starts[i] - starts[i - 1] < layout.segment_bytes) return false;
  }
  return true;
}

// For each byte of the slot of `block`, its offset in the buffer.
inline std::vector<uint64_t> ModelBytes(const Layout& layout, uint64_t block) {
  std::vector<uint64_t> bytes(layout.slot_bytes());
  for (uint32_t layer = 0; layer < layout.num_layers(); ++layer) {
    for (uint32_t part = 0; part < layout.parts; ++part) {
      for (uint64_t i = 0; i < layout.segment_bytes; ++i) {
        bytes[layout.SlotOffset(layer, part) + i] = layout.SegmentOffset(layer, block, part) + i;
      }
    }
  }
  return bytes;
}

}  // namespace headrace::wire
