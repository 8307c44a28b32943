// Memory of the index: chunks straight from the machine, so that nothing is copied when a table
// grows, nothing is lost between the sizes of a heap, and every byte is counted. One thread.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace headrace::indexer {

// Asks for a line of memory. The compiler's own prefetch has no effect that it would keep a loop
// for: a loop that does nothing else is gone.
inline void Prefetch(const void* memory) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(memory)));
#else
  __builtin_prefetch(memory);
#endif
}

// Hands out chunks of one size and counts them. The arrays that use it return them when they end.
class ChunkSource {
 public:
  // Large chunks are asked for as huge pages; with small ones a byte budget can be kept finely.
  static constexpr size_t kLargeBytes = 2u << 20;
  static constexpr size_t kSmallBytes = 64u << 10;

  explicit ChunkSource(size_t chunk_bytes);
  ChunkSource(const ChunkSource&) = delete;
  ChunkSource& operator=(const ChunkSource&) = delete;

  size_t chunk_bytes() const { return chunk_bytes_; }
  uint64_t bytes() const { return bytes_; }  // taken and not returned

  // Zeroed and aligned to its size. `whole`: it will be used to its end soon.
  void* Take(bool whole);
  void Return(void* chunk);

 private:
  const size_t chunk_bytes_;
  uint64_t bytes_ = 0;
};

// Records by number, in chunks. Never moves and never shrinks; a new record is zeroed.
template <typename T>
class ChunkArray {
  static_assert(std::is_trivially_copyable_v<T> && std::has_single_bit(sizeof(T)));

 public:
  explicit ChunkArray(ChunkSource* source)
      : source_(source),
        shift_(static_cast<uint32_t>(std::countr_zero(source->chunk_bytes() / sizeof(T)))),
        mask_((1u << shift_) - 1) {}
  ~ChunkArray() {
    for (T* chunk : chunks_) source_->Return(chunk);
  }
  ChunkArray(const ChunkArray&) = delete;
  ChunkArray& operator=(const ChunkArray&) = delete;

  uint32_t size() const { return size_; }
  // How many Appends take no chunk.
  size_t spare() const { return (chunks_.size() << shift_) - size_; }
  uint32_t Append() {
    if (spare() == 0) chunks_.push_back(static_cast<T*>(source_->Take(!chunks_.empty())));
    return size_++;
  }
  T& operator[](uint32_t number) {
    HR_DCHECK(number < size_);
    return chunks_[number >> shift_][number & mask_];
  }
  const T& operator[](uint32_t number) const {
    HR_DCHECK(number < size_);
    return chunks_[number >> shift_][number & mask_];
  }

 private:
  ChunkSource* const source_;
  const uint32_t shift_;
  const uint32_t mask_;
  std::vector<T*> chunks_;
  uint32_t size_ = 0;
};

}  // namespace headrace::indexer
