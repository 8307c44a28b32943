// A bounded queue of plain entries in memory that two threads or two processes share: one producer,
// one consumer, no locks, no system calls. Whoever needs waking is woken by the caller (eventfd).
//
// In memory: a header that describes the ring, each end's position on a cache line of its own, then
// the entries. Positions only grow; an entry's place is its position modulo the capacity. What the
// other end may have written is never trusted: the capacity is copied at Create or Attach and a
// position that cannot be true reads as "full" or "empty", so a broken peer stalls a ring and never
// leads outside it. An entry's content is the reader's to judge.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/result.h"

namespace headrace {

inline constexpr uint64_t kRingMagic = 0x31474e4952485248;  // "HRHRING1"
inline constexpr uint64_t kRingLine = 64;
inline constexpr uint64_t kRingMaxCapacity = uint64_t{1} << 24;

// The first bytes of a ring. `magic` is written last, so a ring half made is no ring.
struct RingHeader {
  std::atomic<uint64_t> magic;
  uint32_t entry_bytes;
  uint32_t reserved;
  uint64_t capacity;
  alignas(kRingLine) std::atomic<uint64_t> pushed;  // written by the producer
  alignas(kRingLine) std::atomic<uint64_t> popped;  // written by the consumer
};
static_assert(sizeof(RingHeader) == 3 * kRingLine && alignof(RingHeader) == kRingLine);
static_assert(std::atomic<uint64_t>::is_always_lock_free, "positions must work across processes");

// A view of a ring; the memory is the caller's and must outlive it. Copies are views of the same
// ring. TryPush belongs to one thread, TryPop to one thread; the rest to any.
template <typename T>
class Ring {
  static_assert(std::is_trivially_copyable_v<T>, "entries cross process boundaries as bytes");
  static_assert(alignof(T) <= kRingLine);

 public:
  // Bytes of memory for `capacity` entries, a power of two up to kRingMaxCapacity.
  static constexpr uint64_t Bytes(uint64_t capacity) {
    return sizeof(RingHeader) + capacity * sizeof(T);
  }

  // Makes an empty ring of the largest capacity that fits. The memory is aligned to kRingLine.
  // Nobody else may be using it: a new life of a peer gets a new Create.
  static Result<Ring> Create(std::span<uint8_t> memory) {
    if (!Aligned(memory)) return Fail(Errc::kInvalid, "ring memory is not aligned to 64 bytes");
    if (memory.size() < Bytes(1)) return Fail(Errc::kInvalid, "ring memory is too small");
    uint64_t fits = std::bit_floor((memory.size() - sizeof(RingHeader)) / sizeof(T));
    uint64_t capacity = fits < kRingMaxCapacity ? fits : kRingMaxCapacity;
    auto* header = reinterpret_cast<RingHeader*>(memory.data());
    header->magic.exchange(0, std::memory_order_acq_rel);  // before anything below changes
    header->entry_bytes = sizeof(T);
    header->reserved = 0;
    header->capacity = capacity;
    header->pushed.store(0, std::memory_order_relaxed);
    header->popped.store(0, std::memory_order_relaxed);
    header->magic.store(kRingMagic, std::memory_order_release);
    return Ring(header, capacity);
  }

  // Joins a ring that somebody else made. kCorrupt when the memory does not hold a ring of T.
  static Result<Ring> Attach(std::span<uint8_t> memory) {
    if (!Aligned(memory)) return Fail(Errc::kInvalid, "ring memory is not aligned to 64 bytes");
    if (memory.size() < Bytes(1)) return Fail(Errc::kInvalid, "ring memory is too small");
    auto* header = reinterpret_cast<RingHeader*>(memory.data());
    if (header->magic.load(std::memory_order_acquire) != kRingMagic) {
      return Fail(Errc::kCorrupt, "memory holds no ring");
    }
    if (header->entry_bytes != sizeof(T)) return Fail(Errc::kCorrupt, "ring of another entry size");
    // One read: the other side must not change it between the checks and the use.
    uint64_t capacity = std::atomic_ref(header->capacity).load(std::memory_order_relaxed);
    if (!std::has_single_bit(capacity) || capacity > kRingMaxCapacity ||
        Bytes(capacity) > memory.size()) {
      return Fail(Errc::kCorrupt, "ring capacity does not fit its memory");
    }
    return Ring(header, capacity);
  }

  // Producer. False when full.
  bool TryPush(const T& entry) {
    uint64_t pushed = header_->pushed.load(std::memory_order_relaxed);
    uint64_t used = pushed - header_->popped.load(std::memory_order_acquire);
    if (used >= capacity_) return false;
    std::memcpy(Place(pushed), &entry, sizeof(T));
    header_->pushed.store(pushed + 1, std::memory_order_release);
    return true;
  }

  // Consumer. False when empty.
  bool TryPop(T* entry) {
    uint64_t popped = header_->popped.load(std::memory_order_relaxed);
    uint64_t used = header_->pushed.load(std::memory_order_acquire) - popped;
    if (used == 0 || used > capacity_) return false;
    std::memcpy(entry, Place(popped), sizeof(T));
    header_->popped.store(popped + 1, std::memory_order_release);
    return true;
  }

  // Entries inside; a moment's truth when the other end is at work.
  uint64_t size() const {
    uint64_t popped = header_->popped.load(std::memory_order_acquire);
    uint64_t used = header_->pushed.load(std::memory_order_acquire) - popped;
    return used < capacity_ ? used : capacity_;
  }
  bool empty() const { return size() == 0; }
  uint64_t capacity() const { return capacity_; }

 private:
  Ring(RingHeader* header, uint64_t capacity) : header_(header), capacity_(capacity) {}

  static bool Aligned(std::span<uint8_t> memory) {
    return reinterpret_cast<uintptr_t>(memory.data()) % kRingLine == 0;
  }
  uint8_t* Place(uint64_t position) const {
    return reinterpret_cast<uint8_t*>(header_ + 1) + (position & (capacity_ - 1)) * sizeof(T);
  }

  RingHeader* header_;
  uint64_t capacity_;
};

}  // namespace headrace
