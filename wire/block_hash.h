// The name of a block: an opaque digest of up to 32 bytes, chosen by the engine. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace headrace::wire {

// Bytes beyond `size` are zero, so that comparison and hashing look at whole words.
// size 0 is "no block": the parent of the first block of a sequence.
struct BlockHash {
  static constexpr size_t kMaxBytes = 32;

  std::array<uint8_t, kMaxBytes> bytes{};
  uint8_t size = 0;

  // REQUIRES: data.size() <= kMaxBytes
  static BlockHash Of(std::span<const uint8_t> data) {
    BlockHash hash;
    hash.size = static_cast<uint8_t>(data.size());
    if (!data.empty()) std::memcpy(hash.bytes.data(), data.data(), data.size());
    return hash;
  }

  bool empty() const { return size == 0; }
  std::span<const uint8_t> view() const { return {bytes.data(), size}; }
  bool operator==(const BlockHash&) const = default;
};

// `count` hashes of equal size in one run of memory, as they arrive in a message. Does not own.
class HashList {
 public:
  HashList() = default;
  HashList(const uint8_t* data, uint8_t hash_bytes, size_t count)
      : data_(data), hash_bytes_(hash_bytes), count_(count) {}

  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  uint8_t hash_bytes() const { return hash_bytes_; }
  std::span<const uint8_t> raw() const { return {data_, count_ * hash_bytes_}; }
  BlockHash operator[](size_t index) const {
    return BlockHash::Of({data_ + index * hash_bytes_, hash_bytes_});
  }
  HashList first(size_t count) const { return {data_, hash_bytes_, count}; }

 private:
  const uint8_t* data_ = nullptr;
  uint8_t hash_bytes_ = 0;
  size_t count_ = 0;
};

}  // namespace headrace::wire
