// Canonical CBOR (RFC 8949, section 4.2.1), as much of it as block hashes need. Appends to a string
// that it does not own; one thread at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace headrace::wire {

// The longest head of an item: its kind and a number of 8 bytes.
inline constexpr size_t kMaxCborHead = 9;

// Writes the head of an item of major type `kind` in its shortest form; returns its end.
inline uint8_t* PutCborHead(uint8_t* at, uint8_t kind, uint64_t number) {
  const auto major = static_cast<uint8_t>(kind << 5);
  if (number < 24) {
    *at++ = static_cast<uint8_t>(major | number);
    return at;
  }
  const int width = number < 1u << 8 ? 0 : number < 1u << 16 ? 1 : number < 1ull << 32 ? 2 : 3;
  *at++ = static_cast<uint8_t>(major | (24 + width));
  for (int shift = (8 << width) - 8; shift >= 0; shift -= 8) {
    *at++ = static_cast<uint8_t>(number >> shift);
  }
  return at;
}

class CborWriter {
 public:
  explicit CborWriter(std::string* out) : out_(out) {}

  void Nil() { out_->push_back('\xf6'); }
  void Int(int64_t value) {
    if (value >= 0) {
      Head(0, static_cast<uint64_t>(value));
    } else {
      Head(1, static_cast<uint64_t>(-1 - value));
    }
  }
  void Uint(uint64_t value) { Head(0, value); }
  void Bytes(std::span<const uint8_t> bytes) {
    Head(2, bytes.size());
    out_->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void Text(std::string_view text) {
    Head(3, text.size());
    out_->append(text);
  }
  void Array(uint64_t count) { Head(4, count); }  // `count` items follow
  void Uints(std::span<const uint32_t> values) {  // an array of them
    Array(values.size());
    const size_t old = out_->size();
    out_->resize(old + values.size() * kMaxCborHead);
    auto* const begin = reinterpret_cast<uint8_t*>(out_->data()) + old;
    uint8_t* at = begin;
    for (const uint32_t value : values) at = PutCborHead(at, 0, value);
    out_->resize(old + static_cast<size_t>(at - begin));
  }

 private:
  void Head(uint8_t kind, uint64_t number) {
    uint8_t head[kMaxCborHead];
    const uint8_t* end = PutCborHead(head, kind, number);
    out_->append(reinterpret_cast<const char*>(head), static_cast<size_t>(end - head));
  }

  std::string* out_;
};

}  // namespace headrace::wire
