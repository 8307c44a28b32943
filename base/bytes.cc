#include "base/bytes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace headrace {
namespace {

constexpr std::array<const char*, 7> kSizeUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

struct DurationUnit {
  std::string_view name;
  int64_t nanos;
};
// Largest first, so that the first unit that divides a duration spells it shortest.
constexpr std::array<DurationUnit, 6> kDurationUnits = {{{"h", 3'600'000'000'000},
                                                         {"m", 60'000'000'000},
                                                         {"s", 1'000'000'000},
                                                         {"ms", 1'000'000},
                                                         {"us", 1'000},
                                                         {"ns", 1}}};

constexpr uint64_t kMaxNanos = INT64_MAX;

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// Cuts the leading digits off `*text` into `*value`; false without digits or on overflow.
bool TakeNumber(std::string_view* text, uint64_t* value) {
  const char* begin = text->data();
  auto [next, error] = std::from_chars(begin, begin + text->size(), *value);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(next - begin));
  return true;
}

// Nanoseconds of a unit of Go, or 0.
int64_t GoUnit(std::string_view name) {
  if (name == "\u00b5s" || name == "\u03bcs") name = "us";  // the two signs for micro
  for (const DurationUnit& unit : kDurationUnits) {
    if (unit.name == name) return unit.nanos;
  }
  return 0;
}

// The power of 1024 that a suffix means, or -1.
int SizeExponent(std::string_view suffix) {
  std::string unit = Lower(suffix);
  if (unit.empty() || unit == "b") return 0;
  constexpr std::string_view kLetters = "kmgt";
  size_t at = kLetters.find(unit[0]);
  std::string_view rest = std::string_view(unit).substr(1);
  if (at == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) return -1;
  return static_cast<int>(at) + 1;
}

// Cuts "1.5h" off `*text`: a number with or without a fraction, and its unit.
Result<uint64_t> TakeGoPart(std::string_view* text) {
  const size_t begin = text->size();
  uint64_t whole = 0;
  if (!text->starts_with('.') && !TakeNumber(text, &whole)) {
    return Fail(Errc::kInvalid, "not a duration");
  }
  std::string_view fraction;
  if (text->starts_with('.')) {
    const size_t end = std::min(text->find_first_not_of("0123456789", 1), text->size());
    fraction = text->substr(1, end - 1);
    text->remove_prefix(end);
    if (fraction.empty() && begin == text->size() + 1) {  // a dot alone
      return Fail(Errc::kInvalid, "not a duration");
    }
  }
  const size_t length = std::min(text->find_first_of(".0123456789"), text->size());
  const int64_t unit = GoUnit(text->substr(0, length));
  if (unit == 0) return Fail(Errc::kInvalid, "not a duration");
  text->remove_prefix(length);
  if (whole > kMaxNanos / static_cast<uint64_t>(unit)) {
    return Fail(Errc::kInvalid, "duration is too long");
  }
  uint64_t nanos = whole * static_cast<uint64_t>(unit);
  // Digits below a nanosecond fall away one by one.
  for (int64_t scale = unit; !fraction.empty() && scale >= 10; fraction.remove_prefix(1)) {
    nanos += static_cast<uint64_t>(fraction[0] - '0') * static_cast<uint64_t>(scale) / 10;
    scale /= 10;
  }
  return nanos;
}

}  // namespace

Result<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  if (!TakeNumber(&text, &value) || !text.empty()) return Fail(Errc::kInvalid, "not a number");
  return value;
}

Result<uint64_t> ParseSize(std::string_view text) {
  uint64_t value = 0;
  if (!TakeNumber(&text, &value)) return Fail(Errc::kInvalid, "not a size");
  int exponent = SizeExponent(text);
  if (exponent < 0) return Fail(Errc::kInvalid, "not a size");
  int shift = 10 * exponent;
  if (value > (UINT64_MAX >> shift)) return Fail(Errc::kInvalid, "size is too large");
  return value << shift;
}

std::string FormatSize(uint64_t bytes) {
  size_t unit = 0;
  double value = static_cast<double>(bytes);
  // 1023.95 would be printed as 1024.0 of this unit: it belongs to the next.
  while (value >= 1023.95 && unit + 1 < kSizeUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  std::string number(text.data());
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return number + " " + kSizeUnits[unit];
}

std::string SpellSize(uint64_t bytes) {
  constexpr std::array<const char*, 5> kSuffixes = {"", "kb", "mb", "gb", "tb"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < kSuffixes.size()) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kSuffixes[unit];
}

Result<Duration> ParseDuration(std::string_view text) {
  uint64_t value = 0;
  if (!TakeNumber(&text, &value)) return Fail(Errc::kInvalid, "not a duration");
  if (text.empty() && value == 0) return Duration(0);
  std::string name = Lower(text);
  for (const DurationUnit& unit : kDurationUnits) {
    if (unit.name != name) continue;
    if (value > static_cast<uint64_t>(INT64_MAX / unit.nanos)) {
      return Fail(Errc::kInvalid, "duration is too long");
    }
    return Duration(static_cast<int64_t>(value) * unit.nanos);
  }
  return Fail(Errc::kInvalid, "not a duration");
}

Result<Duration> ParseGoDuration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return Duration(0);
  if (text.empty()) return Fail(Errc::kInvalid, "not a duration");
  uint64_t total = 0;
  while (!text.empty()) {
    HR_TRY(const uint64_t part, TakeGoPart(&text));
    if (part > kMaxNanos - total) return Fail(Errc::kInvalid, "duration is too long");
    total += part;
  }
  const auto nanos = static_cast<int64_t>(total);
  return Duration(negative ? -nanos : nanos);
}

std::string SpellDuration(Duration duration) {
  int64_t nanos = duration.count();
  HR_CHECK(nanos >= 0);
  if (nanos == 0) return "0";
  for (const DurationUnit& unit : kDurationUnits) {
    if (nanos % unit.nanos == 0) return std::to_string(nanos / unit.nanos) + std::string(unit.name);
  }
  return std::to_string(nanos) + "ns";
}

}  // namespace headrace
