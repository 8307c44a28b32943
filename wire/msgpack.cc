#include "wire/msgpack.h"

#include <array>
#include <limits>

#include "base/result.h"

namespace headrace::wire {
namespace {

enum class Kind : uint8_t {
  kBad,
  kNil,
  kBool,
  kUint,
  kInt,
  kFloat,
  kStr,
  kBin,
  kArray,
  kMap,
  kExt
};

// What a tag byte says. `width` bytes of big-endian value, length or count follow it; when there
// are none, the tag itself means `inline_value`. kFloat has only a body of inline_value bytes.
struct Form {
  Kind kind = Kind::kBad;
  uint8_t width = 0;
  int8_t inline_value = 0;
};

constexpr std::array<Form, 256> MakeForms() {
  std::array<Form, 256> forms{};
  for (int i = 0; i < 128; ++i) forms[i] = {Kind::kUint, 0, static_cast<int8_t>(i)};
  for (int i = 0; i < 16; ++i) forms[0x80 + i] = {Kind::kMap, 0, static_cast<int8_t>(i)};
  for (int i = 0; i < 16; ++i) forms[0x90 + i] = {Kind::kArray, 0, static_cast<int8_t>(i)};
  for (int i = 0; i < 32; ++i) forms[0xa0 + i] = {Kind::kStr, 0, static_cast<int8_t>(i)};
  for (int i = 0; i < 32; ++i) forms[0xe0 + i] = {Kind::kInt, 0, static_cast<int8_t>(i - 32)};
  forms[0xc0] = {Kind::kNil, 0, 0};
  forms[0xc2] = {Kind::kBool, 0, 0};
  forms[0xc3] = {Kind::kBool, 0, 1};
  forms[0xca] = {Kind::kFloat, 0, 4};
  forms[0xcb] = {Kind::kFloat, 0, 8};
  for (int i = 0; i < 3; ++i) {
    const uint8_t width = static_cast<uint8_t>(1 << i);
    forms[0xc4 + i] = {Kind::kBin, width, 0};
    forms[0xc7 + i] = {Kind::kExt, width, 0};
    forms[0xd9 + i] = {Kind::kStr, width, 0};
  }
  for (int i = 0; i < 4; ++i) {
    const uint8_t width = static_cast<uint8_t>(1 << i);
    forms[0xcc + i] = {Kind::kUint, width, 0};
    forms[0xd0 + i] = {Kind::kInt, width, 0};
  }
  for (int i = 0; i < 5; ++i) forms[0xd4 + i] = {Kind::kExt, 0, static_cast<int8_t>(1 << i)};
  for (int i = 0; i < 2; ++i) {
    const uint8_t width = static_cast<uint8_t>(2 << i);
    forms[0xdc + i] = {Kind::kArray, width, 0};
    forms[0xde + i] = {Kind::kMap, width, 0};
  }
  return forms;
}
constexpr std::array<Form, 256> kForms = MakeForms();

uint64_t BigEndian(const uint8_t* bytes, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value = value << 8 | bytes[i];
  return value;
}

int64_t SignExtend(uint64_t value, size_t width) {
  const unsigned shift = static_cast<unsigned>(64 - 8 * width);
  return static_cast<int64_t>(value << shift) >> shift;
}

// Index of the smallest of the widths 1, 2, 4, 8 that holds `value`.
size_t WidthIndex(uint64_t value) {
  if (value <= 0xff) return 0;
  if (value <= 0xffff) return 1;
  return value <= 0xffffffff ? 2 : 3;
}

}  // namespace

void MsgpackWriter::Tagged(uint8_t tag, uint64_t value, size_t width) {
  char bytes[9];
  bytes[0] = static_cast<char>(tag);
  for (size_t i = 0; i < width; ++i) {
    bytes[width - i] = static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
  }
  out_->append(bytes, width + 1);
}

void MsgpackWriter::Uint(uint64_t value) {
  if (value < 128) return Byte(static_cast<uint8_t>(value));
  const size_t index = WidthIndex(value);
  Tagged(static_cast<uint8_t>(0xcc + index), value, size_t{1} << index);
}

void MsgpackWriter::Int(int64_t value) {
  if (value >= 0) return Uint(static_cast<uint64_t>(value));
  if (value >= -32) return Byte(static_cast<uint8_t>(value));
  // -128 needs 8 bits as 127 does: the complement has the magnitude without the sign.
  const size_t index = WidthIndex(static_cast<uint64_t>(~value) << 1);
  Tagged(static_cast<uint8_t>(0xd0 + index), static_cast<uint64_t>(value), size_t{1} << index);
}

void MsgpackWriter::Str(std::string_view text) {
  HR_CHECK(text.size() <= std::numeric_limits<uint32_t>::max());
  const size_t index = WidthIndex(text.size());
  if (text.size() < 32) {
    Byte(static_cast<uint8_t>(0xa0 | text.size()));
  } else {
    Tagged(static_cast<uint8_t>(0xd9 + index), text.size(), size_t{1} << index);
  }
  out_->append(text);
}

void MsgpackWriter::Bin(std::span<const uint8_t> bytes) {
  HR_CHECK(bytes.size() <= std::numeric_limits<uint32_t>::max());
  const size_t index = WidthIndex(bytes.size());
  Tagged(static_cast<uint8_t>(0xc4 + index), bytes.size(), size_t{1} << index);
  if (!bytes.empty()) out_->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void MsgpackWriter::Array(uint32_t count) {
  if (count < 16) return Byte(static_cast<uint8_t>(0x90 | count));
  if (count <= 0xffff) return Tagged(0xdc, count, 2);
  Tagged(0xdd, count, 4);
}

void MsgpackWriter::Map(uint32_t count) {
  if (count < 16) return Byte(static_cast<uint8_t>(0x80 | count));
  if (count <= 0xffff) return Tagged(0xde, count, 2);
  Tagged(0xdf, count, 4);
}

struct MsgpackReader::Head {
  Kind kind;
  uint8_t bytes;  // of the tag and what belongs to it
  uint64_t value;

  int64_t as_signed() const { return static_cast<int64_t>(value); }
};

bool MsgpackReader::ReadHead(Head* head) const {
  if (at_ == end_) return false;
  const Form form = kForms[*at_];
  if (form.kind == Kind::kBad || remaining() <= form.width) return false;
  head->kind = form.kind;
  head->bytes = static_cast<uint8_t>(1 + form.width);
  if (form.width == 0) {
    head->value = static_cast<uint64_t>(int64_t{form.inline_value});
  } else {
    head->value = BigEndian(at_ + 1, form.width);
    if (form.kind == Kind::kInt) {
      head->value = static_cast<uint64_t>(SignExtend(head->value, form.width));
    }
  }
  return true;
}

bool MsgpackReader::Nil() {
  if (at_ == end_ || *at_ != 0xc0) return false;
  ++at_;
  return true;
}

bool MsgpackReader::Bool(bool* out) {
  Head head;
  if (!ReadHead(&head) || head.kind != Kind::kBool) return false;
  *out = head.value != 0;
  at_ += head.bytes;
  return true;
}

bool MsgpackReader::Uint(uint64_t* out) {
  Head head;
  if (!ReadHead(&head)) return false;
  if (head.kind != Kind::kUint && (head.kind != Kind::kInt || head.as_signed() < 0)) return false;
  *out = head.value;
  at_ += head.bytes;
  return true;
}

bool MsgpackReader::Int(int64_t* out) {
  Head head;
  if (!ReadHead(&head)) return false;
  if (head.kind != Kind::kInt && (head.kind != Kind::kUint || head.as_signed() < 0)) return false;
  *out = head.as_signed();
  at_ += head.bytes;
  return true;
}

bool MsgpackReader::ReadBody(const Head& head, std::span<const uint8_t>* body) {
  if (remaining() - head.bytes < head.value) return false;
  *body = {at_ + head.bytes, static_cast<size_t>(head.value)};
  at_ = body->data() + body->size();
  return true;
}

bool MsgpackReader::Str(std::string_view* out) {
  Head head;
  std::span<const uint8_t> body;
  if (!ReadHead(&head) || head.kind != Kind::kStr || !ReadBody(head, &body)) return false;
  *out = {reinterpret_cast<const char*>(body.data()), body.size()};
  return true;
}

bool MsgpackReader::Bin(std::span<const uint8_t>* out) {
  Head head;
  return ReadHead(&head) && head.kind == Kind::kBin && ReadBody(head, out);
}

bool MsgpackReader::ReadCount(bool map, uint32_t* count) {
  Head head;
  if (!ReadHead(&head) || head.kind != (map ? Kind::kMap : Kind::kArray)) return false;
  const uint64_t elements = map ? 2 * head.value : head.value;
  if (elements > remaining() - head.bytes) return false;
  *count = static_cast<uint32_t>(head.value);
  at_ += head.bytes;
  return true;
}

bool MsgpackReader::Array(uint32_t* count) {
  return ReadCount(false, count);
}

bool MsgpackReader::Map(uint32_t* count) {
  return ReadCount(true, count);
}

bool MsgpackReader::PassHead(uint64_t* nested) {
  Head head;
  if (!ReadHead(&head)) return false;
  uint64_t body = 0;
  *nested = 0;
  if (head.kind == Kind::kArray) {
    *nested = head.value;
  } else if (head.kind == Kind::kMap) {
    *nested = 2 * head.value;
  } else if (head.kind >= Kind::kFloat) {
    body = head.value + (head.kind == Kind::kExt ? 1 : 0);  // an extension has a type byte
  }
  if (remaining() - head.bytes < body + *nested) return false;
  at_ += head.bytes + body;
  return true;
}

bool MsgpackReader::Skip() {
  const uint8_t* const start = at_;
  std::array<uint64_t, kMaxDepth + 1> pending{1};  // values still to skip, by depth
  size_t depth = 0;
  while (true) {
    while (pending[depth] == 0) {
      if (depth == 0) return true;
      --depth;
    }
    --pending[depth];
    uint64_t nested = 0;
    if (!PassHead(&nested)) break;
    if (nested == 0) continue;
    if (depth == kMaxDepth) break;
    pending[++depth] = nested;
  }
  at_ = start;
  return false;
}

}  // namespace headrace::wire
