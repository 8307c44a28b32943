// Pieces of shared memory: made here for the pool, imported from clients by descriptor. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::transport {

// An address range that stays mapped while this object lives. Movable.
class Mapping {
 public:
  Mapping() = default;
  // Shared, readable and writable; `offset` need not be a multiple of the page size. Fails with
  // kInvalid when the file is shorter than offset + bytes, or lies on something else than memory
  // (memfd, tmpfs, hugetlbfs). Placed so that huge pages of the file
  // can be mapped as such.
  static Result<Mapping> Map(int fd, uint64_t offset, uint64_t bytes);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  void Unmap();

  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  void* base_ = nullptr;  // page-aligned start
  uint64_t base_bytes_ = 0;
};

enum class PageKind : uint8_t { k4K, kTransparentHuge, kHugetlb };
const char* PageKindName(PageKind kind);  // "4k", "thp", "hugetlb"

enum class HugePages : uint8_t { kAuto, kOff, kRequire };

// A memfd of the pool (or of its metadata), mapped whole, not backed yet. `pages` is what was got.
struct SharedRegion {
  Fd fd;
  Mapping mapping;
  PageKind pages = PageKind::k4K;
};
// kAuto takes hugetlb pages when enough are free now, else transparent ones where the machine
// allows them for shared memory, else 4 KiB. kRequire fails with kNoSpace rather than take those.
// `bytes` is rounded up to the page size of what was got.
Result<SharedRegion> CreateRegion(const std::string& name, uint64_t bytes, HugePages huge);

// Backs [offset, offset + bytes) with memory (MADV_POPULATE_WRITE) and locks it when `lock`.
// Takes about 0.7 s a GiB with 4 KiB pages. Fails with kNoSpace when the machine has no more.
Status Populate(const SharedRegion& region, uint64_t offset, uint64_t bytes, bool lock);

// What the machine could give now: the least of MemAvailable, the cgroup's limit, and (when
// locking) RLIMIT_MEMLOCK. `limit` names which one it is, for the error text.
struct MemoryBudget {
  uint64_t bytes = 0;
  std::string limit;
  uint64_t free_hugetlb_bytes = 0;  // beside `bytes`: MemAvailable does not count them
};
MemoryBudget AvailableMemory(bool lock);

}  // namespace headrace::transport
