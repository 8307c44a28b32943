// The pool's metadata file as the core sees it: typed access to the bytes of wire/slot_header.h.
// Does not own the memory. The core's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "wire/slot_header.h"

namespace headrace::engine {

// What a pool of this shape needs; region sizes must be multiples of page_bytes.
struct PoolShape {
  uint64_t page_bytes = 64ull << 20;
  uint64_t min_slot_bytes = 16ull << 10;  // slots are rounded up to multiples of 4096
  uint32_t max_namespaces = 1024;
  struct Region {
    uint64_t bytes = 0;
    uint32_t numa_node = 0;
  };
  std::vector<Region> regions;  // none: a pool of size 0

  uint64_t MetaBytes() const;  // of the metadata file
};

class PoolMeta {
 public:
  // Writes a fresh PoolHeader, page records (not ready) and empties the rest. `memory` is zeroed
  // and at least shape.MetaBytes() long.
  static Result<PoolMeta> Format(std::span<uint8_t> memory, const PoolShape& shape, uint64_t epoch);

  wire::PoolHeader& header() { return *header_; }
  const wire::PoolHeader& header() const { return *header_; }
  std::span<wire::NamespaceRecord> namespaces() { return namespaces_; }
  std::span<wire::PageRecord> pages() { return pages_; }
  std::span<wire::SlotHeader> slots() { return slots_; }

 private:
  wire::PoolHeader* header_ = nullptr;
  std::span<wire::NamespaceRecord> namespaces_;
  std::span<wire::PageRecord> pages_;
  std::span<wire::SlotHeader> slots_;
};

}  // namespace headrace::engine
