#include "wire/event_cursor.h"

#include <bit>
#include <cstring>
#include <limits>

#include "wire/block_hash.h"

namespace headrace::wire {
namespace {

uint64_t LoadLe64(const uint8_t* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return std::endian::native == std::endian::little ? value : __builtin_bswap64(value);
}

uint64_t LoadBe64(const uint8_t* bytes) {
  return __builtin_bswap64(LoadLe64(bytes));
}

uint32_t LoadBe32(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

// Reads four tokens when all have 16 or 32 bits, as most have: a mix of the two that no branch
// predictor could guess. Their tags, cd and ce, differ in one bit, so that a token is
// 3 + (tag & 2) bytes long; each tag is cut out of a word that was loaded before its place was
// known. Returns where the fifth begins, or null.
constexpr size_t kFourTokensReach = 20;  // bytes that may be loaded
const uint8_t* FourTokens(const uint8_t* at, uint32_t* out) {
  const uint64_t tag0 = LoadLe64(at);
  const uint64_t second = LoadLe64(at + 6);
  const uint64_t third = LoadLe64(at + 9);
  const uint64_t wide0 = tag0 & 2;
  const uint64_t tag1 = tag0 >> 24 >> (8 * wide0);
  const uint64_t wide1 = wide0 + (tag1 & 2);  // bytes beyond 3 a token, so far
  const uint64_t tag2 = second >> (8 * wide1);
  const uint64_t wide2 = wide1 + (tag2 & 2);
  const uint64_t tag3 = third >> (8 * wide2);
  const uint64_t wide3 = wide2 + (tag3 & 2);
  const uint64_t other = (tag0 - 0xcd) | (tag1 - 0xcd) | (tag2 - 0xcd) | (tag3 - 0xcd);
  if ((other & 0xfe) != 0) return nullptr;
  out[0] = LoadBe32(at + 1) >> (16 - 8 * wide0);
  out[1] = LoadBe32(at + 4 + wide0) >> (16 - 8 * (wide1 - wide0));
  out[2] = LoadBe32(at + 7 + wide1) >> (16 - 8 * (wide2 - wide1));
  out[3] = LoadBe32(at + 10 + wide2) >> (16 - 8 * (wide3 - wide2));
  return at + 12 + wide3;
}

}  // namespace

static_assert(EventCursor::kMaxHashBytes == BlockHash::kMaxBytes);

template <typename Read>
bool EventCursor::Through(Read read) {
  MsgpackReader reader({at_, remaining()});
  if (!read(reader)) return false;
  at_ = end_ - reader.remaining();
  return true;
}

bool EventCursor::Uint(uint64_t most, uint64_t* out) {
  const uint8_t* const start = at_;
  uint64_t value = 0;
  if (at_ != end_ && *at_ < 0x80) {
    value = *at_++;
  } else if (remaining() >= 2 && *at_ == 0xcc) {
    value = at_[1];
    at_ += 2;
  } else if (!Through([&](MsgpackReader& in) { return in.Uint(&value); })) {
    return false;
  }
  if (value > most) {
    at_ = start;
    return false;
  }
  *out = value;
  return true;
}

bool EventCursor::Int(int64_t* out) {
  return Through([&](MsgpackReader& in) { return in.Int(out); });
}

bool EventCursor::Number(double* out) {
  if (remaining() >= 9 && *at_ == 0xcb) {
    *out = std::bit_cast<double>(LoadBe64(at_ + 1));
    at_ += 9;
    return true;
  }
  if (remaining() >= 5 && *at_ == 0xca) {
    *out = std::bit_cast<float>(LoadBe32(at_ + 1));
    at_ += 5;
    return true;
  }
  uint64_t bits = 0;
  int64_t number = 0;
  if (Uint(std::numeric_limits<uint64_t>::max(), &bits)) {
    *out = static_cast<double>(bits);
  } else if (Int(&number)) {
    *out = static_cast<double>(number);
  } else {
    return false;
  }
  return true;
}

bool EventCursor::LongText(std::string_view* out) {
  std::span<const uint8_t> bytes;
  if (Through([&](MsgpackReader& in) { return in.Str(out); })) return true;
  if (!Bin(&bytes)) return false;
  *out = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  return true;
}

bool EventCursor::Bin(std::span<const uint8_t>* out) {
  return Through([&](MsgpackReader& in) { return in.Bin(out); });
}

bool EventCursor::Array(uint32_t* count) {
  if (at_ != end_ && (*at_ & 0xf0) == 0x90) {
    const uint32_t declared = *at_ & 0x0f;
    if (remaining() <= declared) return false;
    *count = declared;
    ++at_;
    return true;
  }
  return Through([&](MsgpackReader& in) { return in.Array(count); });
}

bool EventCursor::Map(uint32_t* count) {
  if (at_ != end_ && (*at_ & 0xf0) == 0x80) {
    const uint32_t declared = *at_ & 0x0f;
    if (remaining() <= 2 * size_t{declared}) return false;
    *count = declared;
    ++at_;
    return true;
  }
  return Through([&](MsgpackReader& in) { return in.Map(count); });
}

bool EventCursor::Skip() {
  if (at_ != end_ && *at_ <= 0x7f) {
    ++at_;
    return true;
  }
  return Nil() || Through([](MsgpackReader& in) { return in.Skip(); });
}

bool EventCursor::Bits(uint64_t* out) {
  int64_t number = 0;
  if (Uint(std::numeric_limits<uint64_t>::max(), out)) return true;
  if (!Int(&number)) return false;
  *out = static_cast<uint64_t>(number);
  return true;
}

bool EventCursor::Hash(uint64_t* low, std::span<const uint8_t>* full) {
  if (remaining() >= 9 && *at_ == 0xcf) {
    *low = LoadBe64(at_ + 1);
    *full = {};
    at_ += 9;
    return true;
  }
  if (!HashBytes(full)) {
    *full = {};
    return Bits(low);
  }
  if (full->size() >= 8) {
    *low = LoadBe64(full->data() + full->size() - 8);
    return true;
  }
  uint64_t value = 0;
  for (const uint8_t byte : *full) value = value << 8 | byte;
  *low = value;
  return true;
}

bool EventCursor::HashBytes(std::span<const uint8_t>* out) {
  if (remaining() >= 2 && *at_ == 0xc4) {
    const size_t size = at_[1];
    if (size == 0 || size > kMaxHashBytes || size > remaining() - 2) return false;
    *out = {at_ + 2, size};
    at_ += 2 + size;
    return true;
  }
  const uint8_t* const start = at_;
  std::string_view text;
  if (!Text(&text)) return false;
  if (text.empty() || text.size() > kMaxHashBytes) {
    at_ = start;
    return false;
  }
  *out = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  return true;
}

bool EventCursor::Tokens(size_t count, uint32_t* out) {
  uint32_t* const end = out + count;
  while (out != end) {
    while (end - out >= 4 && remaining() >= kFourTokensReach) {
      const uint8_t* const next = FourTokens(at_, out);
      if (next == nullptr) break;
      at_ = next;
      out += 4;
    }
    // Small vocabularies make most tokens short: the group is not tried again for each of them.
    for (int i = 0; i < 4 && out != end; ++i, ++out) {
      uint64_t token = 0;
      if (!Uint(std::numeric_limits<uint32_t>::max(), &token)) return false;
      *out = static_cast<uint32_t>(token);
    }
  }
  return true;
}

}  // namespace headrace::wire
