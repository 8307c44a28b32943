// A fixed number of zeroed records in reserved address space. The machine backs a page of it when
// it is first touched, so a table for the largest pool costs nothing until it is used; it never
// grows and never moves. One thread.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace headrace::engine {

// Fails with kNoSpace when the address space cannot be reserved. 0 bytes give a null pointer.
Result<void*> ReserveZeroed(size_t bytes);
void ReleaseZeroed(void* memory, size_t bytes);

template <typename T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  ZeroedArray() = default;
  static Result<ZeroedArray> Create(size_t count) {
    HR_TRY(void* memory, ReserveZeroed(count * sizeof(T)));
    ZeroedArray array;
    array.data_ = static_cast<T*>(memory);
    array.count_ = count;
    return array;
  }
  ZeroedArray(ZeroedArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  ZeroedArray& operator=(ZeroedArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~ZeroedArray() { ReleaseZeroed(data_, count_ * sizeof(T)); }

  size_t size() const { return count_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t index) {
    HR_DCHECK(index < count_);
    return data_[index];
  }
  const T& operator[](size_t index) const {
    HR_DCHECK(index < count_);
    return data_[index];
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace headrace::engine
