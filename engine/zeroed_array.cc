#include "engine/zeroed_array.h"

#include <sys/mman.h>

#include <cerrno>

namespace headrace::engine {

Result<void*> ReserveZeroed(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(Errc::kNoSpace, "no address space for a table of this pool", errno);
  }
  // A huge page would be zeroed whole at its first touch: 100 us inside one Apply.
  (void)::madvise(memory, bytes, MADV_NOHUGEPAGE);
  return memory;
}

void ReleaseZeroed(void* memory, size_t bytes) {
  if (memory != nullptr) ::munmap(memory, bytes);
}

}  // namespace headrace::engine
