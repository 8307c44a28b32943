// Reads what KV events are made of from memory that it does not own: MsgpackReader with short cuts
// for the forms that nearly all of an event consists of. Never throws, never allocates. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "wire/msgpack.h"

namespace headrace::wire {

// Every read returns false, and stays where it is, when the next value is of another kind, does not
// fit the result or runs past the end; Tokens alone may have gone on by then.
class EventCursor {
 public:
  static constexpr size_t kMaxHashBytes = 32;

  explicit EventCursor(std::span<const uint8_t> bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  const uint8_t* at() const { return at_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  void Rewind(const uint8_t* at) { at_ = at; }  // REQUIRES: a value of at() before

  bool Nil() {
    if (at_ == end_ || *at_ != 0xc0) return false;
    ++at_;
    return true;
  }
  bool Uint(uint64_t most, uint64_t* out);
  bool Int(int64_t* out);
  bool Number(double* out);           // an integer or a float
  bool Text(std::string_view* out) {  // str or bin
    if (at_ == end_ || (*at_ & 0xe0) != 0xa0) return LongText(out);
    const size_t size = *at_ & 0x1f;
    if (remaining() <= size) return false;
    *out = {reinterpret_cast<const char*>(at_ + 1), size};
    at_ += 1 + size;
    return true;
  }
  // Passes this text, in its short form. REQUIRES: 4 to 31 bytes
  bool Pass(std::string_view text) {
    if (remaining() <= text.size() || *at_ != (0xa0 | text.size())) return false;
    if (!Same(at_ + 1, text.data(), text.size())) return false;
    at_ += 1 + text.size();
    return true;
  }
  bool Bin(std::span<const uint8_t>* out);
  // Fail when more elements are declared than bytes are left: a count is never trusted.
  bool Array(uint32_t* count);
  bool Map(uint32_t* count);
  bool Skip();

  // An integer of any width, negative ones as their two's complement; or 1 to kMaxHashBytes bytes
  // in a bin or str, of which the last 8 count, big-endian. `full` is empty for an integer.
  bool Hash(uint64_t* low, std::span<const uint8_t>* full);
  // `count` integers that fit, of any width.
  bool Tokens(size_t count, uint32_t* out);

 private:
  // Faster than a call of memcmp for the few bytes of a name.
  static bool Same(const uint8_t* a, const char* b, size_t size) {
    const auto differ = [&](auto word, size_t at) {
      auto other = word;
      std::memcpy(&word, a + at, sizeof(word));
      std::memcpy(&other, b + at, sizeof(word));
      return word ^ other;
    };
    if (size < 8) return (differ(uint32_t{}, 0) | differ(uint32_t{}, size - 4)) == 0;
    uint64_t different = differ(uint64_t{}, size - 8);
    for (size_t at = 0; at + 8 < size; at += 8) different |= differ(uint64_t{}, at);
    return different == 0;
  }
  bool LongText(std::string_view* out);
  template <typename Read>
  bool Through(Read read);
  bool Bits(uint64_t* out);
  bool HashBytes(std::span<const uint8_t>* out);

  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace headrace::wire
