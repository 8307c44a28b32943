// MessagePack, as much of it as the project's wires need: integers, nil, bool, str, bin, arrays and
// maps; floats and extensions are only skipped. Never throws, never allocates but in the string
// that a writer appends to. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace headrace::wire {

// Appends values to a string, each in its shortest form.
class MsgpackWriter {
 public:
  explicit MsgpackWriter(std::string* out) : out_(out) {}

  void Nil() { Byte(0xc0); }
  void Bool(bool value) { Byte(value ? 0xc3 : 0xc2); }
  void Uint(uint64_t value);
  void Int(int64_t value);
  void Str(std::string_view text);           // REQUIRES: shorter than 4 GiB
  void Bin(std::span<const uint8_t> bytes);  // REQUIRES: shorter than 4 GiB
  void Array(uint32_t count);                // `count` values follow
  void Map(uint32_t count);                  // `count` pairs follow

 private:
  void Byte(uint8_t byte) { out_->push_back(static_cast<char>(byte)); }
  void Tagged(uint8_t tag, uint64_t value, size_t width);  // big-endian

  std::string* out_;
};

// Reads values one after another from memory that it does not own; str and bin are views of it.
// Every read returns false, and stays where it is, when the next value is of another kind, does not
// fit the result or runs past the end.
class MsgpackReader {
 public:
  static constexpr size_t kMaxDepth = 32;  // of arrays and maps that Skip follows

  explicit MsgpackReader(std::span<const uint8_t> bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool AtEnd() const { return at_ == end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }

  bool Nil();
  bool Bool(bool* out);
  bool Uint(uint64_t* out);  // any integer form whose value is not negative
  bool Int(int64_t* out);    // any integer form whose value fits
  bool Str(std::string_view* out);
  bool Bin(std::span<const uint8_t>* out);
  // Fail when more elements are declared than bytes are left: a count is never trusted.
  bool Array(uint32_t* count);
  bool Map(uint32_t* count);
  bool Skip();  // one whole value, of any kind

 private:
  struct Head;

  bool ReadHead(Head* head) const;
  bool ReadCount(bool map, uint32_t* count);
  bool ReadBody(const Head& head, std::span<const uint8_t>* body);
  // Steps over one value; of an array or map only the head, whose `nested` values follow.
  bool PassHead(uint64_t* nested);

  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace headrace::wire
