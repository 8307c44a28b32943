#include "wire/layout.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>

namespace headrace::wire {
namespace {

constexpr uint64_t kMax32 = std::numeric_limits<uint32_t>::max();

Status ValidateFields(const Layout& layout) {
  if (layout.num_blocks == 0) return Fail(Errc::kInvalid, "layout.num_blocks: zero");
  // Block ids have 32 bits and the last one means "no block".
  if (layout.num_blocks > kMax32) return Fail(Errc::kInvalid, "layout.num_blocks: over 2^32 - 1");
  if (layout.segment_bytes == 0) return Fail(Errc::kInvalid, "layout.segment_bytes: zero");
  if (layout.segment_bytes > kMax32) {
    return Fail(Errc::kInvalid, "layout.segment_bytes: over 2^32 - 1");
  }
  if (layout.parts != 1 && layout.parts != 2) {
    return Fail(Errc::kInvalid, "layout.parts: not 1 or 2");
  }
  if (layout.layer_offsets.empty()) return Fail(Errc::kInvalid, "layout.layer_offsets: empty");
  if (layout.layer_offsets.size() > kMaxLayers) {
    return Fail(Errc::kInvalid, "layout.layer_offsets: more than 4096 layers");
  }
  return {};
}

// Every segment ends inside the buffer. Only then do sums of offsets fit 64 bits.
Status ValidateBounds(const Layout& layout, uint64_t buffer_bytes) {
  uint64_t end = layout.segment_bytes;
  if (end > buffer_bytes) {
    return Fail(Errc::kInvalid, "layout.segment_bytes: longer than the buffer");
  }
  uint64_t last_block = 0;
  if (__builtin_mul_overflow(layout.num_blocks - 1, layout.block_stride, &last_block) ||
      __builtin_add_overflow(end, last_block, &end) || end > buffer_bytes) {
    return Fail(Errc::kInvalid,
                "layout.block_stride: the last of num_blocks ends outside the buffer");
  }
  if (layout.parts == 2 &&
      (__builtin_add_overflow(end, layout.part_stride, &end) || end > buffer_bytes)) {
    return Fail(Errc::kInvalid, "layout.part_stride: the second part ends outside the buffer");
  }
  for (const uint64_t offset : layout.layer_offsets) {
    if (offset > buffer_bytes - end) {
      return Fail(Errc::kInvalid, "layout.layer_offsets: a layer ends outside the buffer");
    }
  }
  return {};
}

// Segments start at offset + k * stride, k < num_blocks. Written as cell * stride + residue, two
// rows meet iff their residues lie closer than a segment (on the circle of one stride) while their
// cells lie closer than num_blocks.
struct Row {
  uint64_t residue;
  uint64_t cell;
  bool operator<(const Row&) const = default;
  auto operator<=>(const Row&) const = default;
};

// The cells of the rows whose segments reach the sweep's present residue.
class ActiveCells {
 public:
  explicit ActiveCells(uint64_t num_blocks) : num_blocks_(num_blocks) {}

  // False when a cell closer than num_blocks is there. Otherwise all cells stay num_blocks apart,
  // so that only neighbours need to be looked at.
  bool Insert(uint64_t cell) {
    const auto next = cells_.lower_bound(cell);
    if (next != cells_.end() && *next - cell < num_blocks_) return false;
    if (next != cells_.begin() && cell - *std::prev(next) < num_blocks_) return false;
    cells_.insert(next, cell);
    return true;
  }
  void Erase(uint64_t cell) { cells_.erase(cell); }

 private:
  const uint64_t num_blocks_;
  std::set<uint64_t> cells_;
};

// Whether any two rows of equal segments share a byte. Exact, O(n log n), whatever num_blocks is.
// REQUIRES: offsets passed ValidateBounds; segment_bytes <= block_stride unless there is one block.
bool RowsOverlap(const Layout& layout, const std::vector<uint64_t>& offsets) {
  const uint64_t bytes = layout.segment_bytes;
  // One block: cells are not needed, one stride as long as everything holds all rows.
  const bool single = layout.num_blocks == 1;
  const uint64_t stride = single ? std::numeric_limits<uint64_t>::max() : layout.block_stride;
  HR_DCHECK(bytes <= stride);

  std::vector<Row> rows;
  rows.reserve(offsets.size() * 2);
  // Cells count from 1: a row near the start is seen again at the end of the cell before.
  for (const uint64_t offset : offsets) rows.push_back({offset % stride, offset / stride + 1});
  std::sort(rows.begin(), rows.end());
  const size_t count = rows.size();
  for (size_t i = 0; i < count && !single && rows[i].residue < bytes; ++i) {
    uint64_t residue = 0;
    if (__builtin_add_overflow(rows[i].residue, stride, &residue)) continue;
    rows.push_back({residue, rows[i].cell - 1});
  }

  ActiveCells active(layout.num_blocks);
  size_t expired = 0;
  for (const Row& row : rows) {
    while (row.residue - rows[expired].residue >= bytes) active.Erase(rows[expired++].cell);
    if (!active.Insert(row.cell)) return true;
  }
  return false;
}

Status ValidateOverlap(const Layout& layout) {
  if (layout.num_blocks > 1 && layout.block_stride < layout.segment_bytes) {
    return Fail(Errc::kInvalid, "layout.block_stride: shorter than segment_bytes");
  }
  if (layout.parts == 2 && RowsOverlap(layout, {0, layout.part_stride})) {
    return Fail(Errc::kInvalid, "layout.part_stride: the parts overlap");
  }
  std::vector<uint64_t> offsets;
  offsets.reserve(layout.layer_offsets.size() * layout.parts);
  for (const uint64_t offset : layout.layer_offsets) {
    for (uint32_t part = 0; part < layout.parts; ++part) {
      offsets.push_back(offset + part * layout.part_stride);
    }
  }
  if (RowsOverlap(layout, offsets)) {
    return Fail(Errc::kInvalid, "layout.layer_offsets: two layers overlap");
  }
  return {};
}

}  // namespace

Status ValidateLayout(const Layout& layout, uint64_t buffer_bytes) {
  HR_RETURN_IF_ERROR(ValidateFields(layout));
  HR_RETURN_IF_ERROR(ValidateBounds(layout, buffer_bytes));
  return ValidateOverlap(layout);
}

}  // namespace headrace::wire
