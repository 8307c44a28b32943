#include "indexer/chunks.h"

#include <sys/mman.h>

namespace headrace::indexer {

ChunkSource::ChunkSource(size_t chunk_bytes) : chunk_bytes_(chunk_bytes) {
  HR_CHECK(std::has_single_bit(chunk_bytes) && chunk_bytes >= 4096);
}

void* ChunkSource::Take(bool whole) {
  // Twice the size, less what lies beside the aligned piece.
  void* got = ::mmap(nullptr, 2 * chunk_bytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HR_CHECK(got != MAP_FAILED);
  auto* const start = static_cast<uint8_t*>(got);
  const size_t before = (0 - reinterpret_cast<uintptr_t>(start)) & (chunk_bytes_ - 1);
  if (before > 0) ::munmap(start, before);
  if (before < chunk_bytes_) ::munmap(start + before + chunk_bytes_, chunk_bytes_ - before);
  uint8_t* const chunk = start + before;
  // A first chunk may stay nearly empty: it takes the machine's small pages as it needs them.
  if (whole && chunk_bytes_ >= kLargeBytes) (void)::madvise(chunk, chunk_bytes_, MADV_HUGEPAGE);
  bytes_ += chunk_bytes_;
  return chunk;
}

void ChunkSource::Return(void* chunk) {
  HR_CHECK(chunk != nullptr && bytes_ >= chunk_bytes_);
  ::munmap(chunk, chunk_bytes_);
  bytes_ -= chunk_bytes_;
}

}  // namespace headrace::indexer
