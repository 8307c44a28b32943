#include "transport/memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "transport/memory_budget.h"

#ifndef MADV_POPULATE_WRITE  // Linux 5.14; older headers lack the name
#define MADV_POPULATE_WRITE 23
#endif

namespace headrace::transport {
namespace {

constexpr uint64_t kHugePage = 2u << 20;
constexpr unsigned kMfd2MiB = 21u << 26;  // MFD_HUGE_2MB of <linux/memfd.h>
// Populate works in pieces, so that other calls on the address space get their turn.
constexpr uint64_t kPopulatePiece = 16u << 20;
constexpr uint64_t kMaxBytes = uint64_t{1} << 47;

uint64_t SystemPage() {
  static const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return page;
}

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Pages that offsets and lengths of a mapping of this file must be multiples of. Other file systems
// are refused: a page fault in them may wait for a disk, or forever for whoever serves the file.
Result<uint64_t> PageOf(int fd) {
  struct statfs fs{};
  if (::fstatfs(fd, &fs) != 0) return Fail(Errc::kIo, "fstatfs of a shared file", errno);
  if (fs.f_type == HUGETLBFS_MAGIC) return static_cast<uint64_t>(fs.f_bsize);
  if (fs.f_type == TMPFS_MAGIC) return SystemPage();
  return Fail(Errc::kInvalid, "not a memfd, nor a file on tmpfs or hugetlbfs");
}

Status CheckFile(int fd, uint64_t offset, uint64_t bytes) {
  if (bytes == 0 || bytes > kMaxBytes || offset > kMaxBytes) {
    return Fail(Errc::kInvalid, "size or offset of a shared buffer is out of range");
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0) return Fail(Errc::kInvalid, "descriptor is not usable", errno);
  if (!S_ISREG(info.st_mode)) return Fail(Errc::kInvalid, "descriptor is not a file of memory");
  if (static_cast<uint64_t>(info.st_size) < offset + bytes) {
    return Fail(Errc::kInvalid, "file is shorter than the buffer in it");
  }
  return {};
}

// Maps whole pages at an address that is congruent to the file's offset modulo the huge page, which
// is what the kernel needs to map a huge page of the file by one entry.
Result<uint8_t*> MapAligned(int fd, uint64_t offset, uint64_t bytes) {
  const uint64_t spare = bytes >= kHugePage ? kHugePage : 0;
  void* hole = ::mmap(nullptr, bytes + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (hole == MAP_FAILED) return Fail(Errc::kNoSpace, "no address range for a mapping", errno);
  auto* start = static_cast<uint8_t*>(hole);
  uint64_t skip = 0;
  if (spare != 0) {
    const uint64_t at = reinterpret_cast<uintptr_t>(start) % kHugePage;
    skip = (offset % kHugePage + kHugePage - at) % kHugePage;
  }
  void* got = ::mmap(start + skip, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                     static_cast<off_t>(offset));
  const int error = errno;
  if (got == MAP_FAILED) {
    ::munmap(hole, bytes + spare);
    const bool memory = error == ENOMEM || error == EAGAIN;
    return Fail(memory ? Errc::kNoSpace : Errc::kInvalid, "mapping a shared file", error);
  }
  if (skip != 0) ::munmap(hole, skip);
  if (spare != skip) ::munmap(start + skip + bytes, spare - skip);
  return static_cast<uint8_t*>(got);
}

// True when shared memory may have transparent huge pages where it is asked for.
bool ShmemHugeAllowed() {
  const std::string text =
      ReadSmallFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled").value_or("");
  for (std::string_view word : {"[always]", "[within_size]", "[advise]", "[force]"}) {
    if (text.find(word) != std::string::npos) return true;
  }
  return false;
}

Result<SharedRegion> MakeRegion(const std::string& name, uint64_t bytes, unsigned flags) {
  Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | flags));
  if (!fd.valid()) return Fail(Errc::kIo, "memfd_create", errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return Fail(Errc::kNoSpace, "sizing a memory region", errno);
  }
  HR_TRY(auto mapping, Mapping::Map(fd.get(), 0, bytes));
  return SharedRegion{std::move(fd), std::move(mapping), PageKind::k4K};
}

Status PopulatePiece(const SharedRegion& region, uint64_t offset, uint64_t bytes) {
  int rc = 0;
  do {
    rc = ::madvise(region.mapping.data() + offset, bytes, MADV_POPULATE_WRITE);
  } while (rc != 0 && (errno == EINTR || errno == EAGAIN));
  // Kernels before 5.14 do not know the advice; touching pages there would end in SIGBUS when
  // memory runs out, allocating them in the file says so.
  if (rc != 0 && errno == EINVAL) {
    rc = ::fallocate(region.fd.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  }
  if (rc == 0) return {};
  const bool memory = errno == ENOMEM || errno == EFAULT || errno == ENOSPC;
  return Fail(memory ? Errc::kNoSpace : Errc::kIo, "backing a region with memory", errno);
}

}  // namespace

Result<Mapping> Mapping::Map(int fd, uint64_t offset, uint64_t bytes) {
  HR_RETURN_IF_ERROR(CheckFile(fd, offset, bytes));
  HR_TRY(const uint64_t page, PageOf(fd));
  const uint64_t start = offset / page * page;
  const uint64_t length = RoundUp(offset + bytes, page) - start;
  HR_TRY(uint8_t* base, MapAligned(fd, start, length));
  Mapping mapping;
  mapping.base_ = base;
  mapping.base_bytes_ = length;
  mapping.data_ = base + (offset - start);
  mapping.size_ = bytes;
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      base_(std::exchange(other.base_, nullptr)),
      base_bytes_(std::exchange(other.base_bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  base_ = std::exchange(other.base_, nullptr);
  base_bytes_ = std::exchange(other.base_bytes_, 0);
  return *this;
}

Mapping::~Mapping() {
  Unmap();
}

void Mapping::Unmap() {
  if (base_ == nullptr) return;
  HR_CHECK(::munmap(base_, base_bytes_) == 0);
}

const char* PageKindName(PageKind kind) {
  switch (kind) {
    case PageKind::k4K:
      return "4k";
    case PageKind::kTransparentHuge:
      return "thp";
    case PageKind::kHugetlb:
      return "hugetlb";
  }
  return "unknown";
}

Result<SharedRegion> CreateRegion(const std::string& name, uint64_t bytes, HugePages huge) {
  if (bytes == 0 || bytes > kMaxBytes) return Fail(Errc::kInvalid, "region size out of range");
  const std::string full = "headrace-" + name;
  if (huge == HugePages::kOff) return MakeRegion(full, RoundUp(bytes, SystemPage()), 0);

  // memfd_create and ftruncate succeed without huge pages; only the mapping fails, and a mapping
  // that succeeds has reserved them. So the count is asked first and the mapping has the last word.
  const uint64_t rounded = RoundUp(bytes, kHugePage);
  if (FreeHugetlbBytes() >= rounded) {
    auto region = MakeRegion(full, rounded, MFD_HUGETLB | kMfd2MiB);
    if (region) {
      region->pages = PageKind::kHugetlb;
      return region;
    }
  }
  if (ShmemHugeAllowed()) {
    HR_TRY(auto region, MakeRegion(full, rounded, 0));
    const int rc = ::madvise(region.mapping.data(), rounded, MADV_HUGEPAGE);
    if (rc == 0) {
      region.pages = PageKind::kTransparentHuge;
      return region;
    }
  }
  if (huge == HugePages::kRequire) return Fail(Errc::kNoSpace, "no huge pages for the region");
  return MakeRegion(full, RoundUp(bytes, SystemPage()), 0);
}

Status Populate(const SharedRegion& region, uint64_t offset, uint64_t bytes, bool lock) {
  const uint64_t size = region.mapping.size();
  HR_CHECK(offset <= size && bytes <= size - offset);
  const uint64_t page = region.pages == PageKind::kHugetlb ? kHugePage : SystemPage();
  const uint64_t end = std::min(size, RoundUp(offset + bytes, page));
  for (uint64_t at = offset / page * page; at < end;) {
    const uint64_t piece = std::min(kPopulatePiece, end - at);
    HR_RETURN_IF_ERROR(PopulatePiece(region, at, piece));
    if (lock && ::mlock(region.mapping.data() + at, piece) != 0) {
      return Fail(Errc::kNoSpace, "locking a region in memory", errno);
    }
    at += piece;
  }
  return {};
}

}  // namespace headrace::transport
