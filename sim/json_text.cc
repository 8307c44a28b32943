#include "sim/json_text.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace headrace::sim {
namespace {

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kTops = 0x8080808080808080;

// The lowest top bit that is set is right; those above it may be set by a borrow.
constexpr uint64_t ZeroBytes(uint64_t word) {
  return (word - kOnes) & ~word & kTops;
}

bool IsPlain(unsigned char byte) {
  return byte >= 0x20 && byte != '"' && byte != '\\';
}

void AppendEscape(unsigned char byte, std::string* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  switch (byte) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      out->append("\\u00");
      out->push_back(kDigits[byte >> 4]);
      out->push_back(kDigits[byte & 15]);
  }
}

}  // namespace

size_t PlainRun(std::string_view text) {
  static_assert(std::endian::native == std::endian::little);
  size_t place = 0;
  uint64_t word = 0;
  while (text.size() - place >= sizeof(word)) {
    std::memcpy(&word, text.data() + place, sizeof(word));
    const uint64_t control = (word - kOnes * 0x20) & ~word & kTops;
    const uint64_t found =
        control | ZeroBytes(word ^ (kOnes * '"')) | ZeroBytes(word ^ (kOnes * '\\'));
    if (found != 0) return place + static_cast<size_t>(std::countr_zero(found)) / 8;
    place += sizeof(word);
  }
  while (place < text.size() && IsPlain(static_cast<unsigned char>(text[place]))) ++place;
  return place;
}

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  while (true) {
    const size_t plain = PlainRun(text);
    out->append(text.substr(0, plain));
    if (plain == text.size()) break;
    AppendEscape(static_cast<unsigned char>(text[plain]), out);
    text.remove_prefix(plain + 1);
  }
  out->push_back('"');
}

void AppendNumber(int64_t number, std::string* out) {
  const fmt::format_int digits(number);
  out->append(digits.data(), digits.size());
}

}  // namespace headrace::sim
