#include "engine/pool_meta.h"

#include <cstring>

namespace headrace::engine {

namespace {

constexpr uint64_t kSlotAlign = 4096;
constexpr size_t kMaxRegions = 64;
constexpr uint64_t kMaxSlots = 1ull << 31;  // slot numbers are 32 bits, with one left for "none"

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

struct Counts {
  uint64_t pages = 0;
  uint64_t slots_per_page = 0;
  uint64_t namespaces_offset = 0, pages_offset = 0, slots_offset = 0, file_bytes = 0;
};

Counts CountsOf(const PoolShape& shape) {
  Counts counts;
  for (const auto& region : shape.regions) counts.pages += region.bytes / shape.page_bytes;
  counts.slots_per_page = shape.page_bytes / shape.min_slot_bytes;
  counts.namespaces_offset = sizeof(wire::PoolHeader);
  counts.pages_offset =
      counts.namespaces_offset + uint64_t{shape.max_namespaces} * sizeof(wire::NamespaceRecord);
  counts.slots_offset =
      RoundUp(counts.pages_offset + counts.pages * sizeof(wire::PageRecord), kSlotAlign);
  counts.file_bytes =
      RoundUp(counts.slots_offset + counts.pages * counts.slots_per_page * sizeof(wire::SlotHeader),
              kSlotAlign);
  return counts;
}

Status Validate(const PoolShape& shape) {
  if (shape.min_slot_bytes == 0 || shape.min_slot_bytes % kSlotAlign != 0) {
    return Fail(Errc::kInvalid, "min-slot must be a multiple of 4096");
  }
  if (shape.page_bytes < shape.min_slot_bytes || shape.page_bytes % kSlotAlign != 0) {
    return Fail(Errc::kInvalid, "page-size must be a multiple of 4096 and hold one smallest slot");
  }
  if (shape.regions.size() > kMaxRegions) return Fail(Errc::kLimit, "more than 64 regions");
  for (const auto& region : shape.regions) {
    if (region.bytes == 0 || region.bytes % shape.page_bytes != 0) {
      return Fail(Errc::kInvalid, "a region must be a multiple of page-size");
    }
  }
  const Counts counts = CountsOf(shape);
  if (counts.pages * counts.slots_per_page >= kMaxSlots) {
    return Fail(Errc::kLimit, "pool-size over min-slot gives more than 2^31 slots: raise min-slot");
  }
  return {};
}

}  // namespace

uint64_t PoolShape::MetaBytes() const {
  return CountsOf(*this).file_bytes;
}

Result<PoolMeta> PoolMeta::Format(std::span<uint8_t> memory, const PoolShape& shape,
                                  uint64_t epoch) {
  HR_RETURN_IF_ERROR(Validate(shape));
  const Counts counts = CountsOf(shape);
  if (memory.size() < counts.file_bytes) {
    return Fail(Errc::kInvalid, "metadata memory is shorter than the pool's shape needs");
  }
  PoolMeta meta;
  uint8_t* base = memory.data();
  meta.header_ = reinterpret_cast<wire::PoolHeader*>(base);
  meta.namespaces_ = {reinterpret_cast<wire::NamespaceRecord*>(base + counts.namespaces_offset),
                      shape.max_namespaces};
  meta.pages_ = {reinterpret_cast<wire::PageRecord*>(base + counts.pages_offset), counts.pages};
  meta.slots_ = {reinterpret_cast<wire::SlotHeader*>(base + counts.slots_offset),
                 counts.pages * counts.slots_per_page};

  wire::PoolHeader& header = *meta.header_;
  header.version = wire::kPoolVersion;
  header.header_bytes = sizeof(wire::PoolHeader);
  header.page_bytes = shape.page_bytes;
  header.min_slot_bytes = shape.min_slot_bytes;
  header.num_pages = static_cast<uint32_t>(counts.pages);
  header.slots_per_page = static_cast<uint32_t>(counts.slots_per_page);
  header.num_regions = static_cast<uint32_t>(shape.regions.size());
  header.num_namespaces = shape.max_namespaces;
  header.namespaces_offset = counts.namespaces_offset;
  header.pages_offset = counts.pages_offset;
  header.slots_offset = counts.slots_offset;
  header.file_bytes = counts.file_bytes;
  header.server_epoch = epoch;
  size_t page = 0;
  for (size_t r = 0; r < shape.regions.size(); ++r) {
    header.region_bytes[r] = shape.regions[r].bytes;
    for (uint64_t at = 0; at < shape.regions[r].bytes; at += shape.page_bytes) {
      meta.pages_[page++] = {.offset = at,
                             .region = static_cast<uint32_t>(r),
                             .numa_node = shape.regions[r].numa_node};
    }
  }
  HR_CHECK(page == meta.pages_.size());
  // Last: a file without the magic is not a pool.
  std::atomic_ref<uint64_t>(header.magic).store(wire::kPoolMagic, std::memory_order_release);
  return meta;
}

}  // namespace headrace::engine
