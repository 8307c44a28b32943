// Where the segments of a block lie in an engine's KV buffer: one affine formula for all engines,
//   address(layer, block, part) = base + layer_offsets[layer] + block*block_stride
//                                 + part*part_stride
// K-first split is parts=2 with a large part_stride, blocks-first parts=2 (or 1 when K and V
// adjoin), packed K|V and MLA parts=1, cross-layer one layer whose segment is the whole block.
// In a slot the segments stand part-major: all layers' K, then all layers' V.
// Pure values; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace headrace::wire {

struct Layout {
  uint64_t num_blocks = 0;
  uint64_t segment_bytes = 0;
  uint64_t block_stride = 0;
  uint64_t part_stride = 0;  // unused when parts is 1
  uint32_t parts = 1;        // 1 or 2
  std::vector<uint64_t> layer_offsets;

  uint32_t num_layers() const { return static_cast<uint32_t>(layer_offsets.size()); }
  uint64_t slot_bytes() const { return segment_bytes * parts * layer_offsets.size(); }

  // Offset in the buffer of one segment. REQUIRES: indices in range.
  uint64_t SegmentOffset(uint32_t layer, uint64_t block, uint32_t part) const {
    return layer_offsets[layer] + block * block_stride + part * part_stride;
  }
  // Offset in the slot of the same segment.
  uint64_t SlotOffset(uint32_t layer, uint32_t part) const {
    return (uint64_t{part} * layer_offsets.size() + layer) * segment_bytes;
  }
  bool operator==(const Layout&) const = default;
};

inline constexpr uint32_t kMaxLayers = 4096;

// Bounds (every segment inside buffer_bytes, no arithmetic overflow) and overlap (no two segments
// share a byte), in O(n log n) of layers x parts. Also what a slot header can say: num_blocks and
// segment_bytes below 2^32. The error's text names the field that is wrong.
Status ValidateLayout(const Layout& layout, uint64_t buffer_bytes);

}  // namespace headrace::wire
