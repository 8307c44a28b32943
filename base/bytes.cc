#include "base/bytes.h"

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

// The power of 1024 that a suffix means, or -1.
int SizeExponent(std::string_view suffix) {
  std::string unit = Lower(suffix);
  if (unit.empty() || unit == "b") return 0;
  constexpr std::string_view letters = "kmgt";
  size_t at = letters.find(unit[0]);
  std::string_view rest = std::string_view(unit).substr(1);
  if (at == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) return -1;
  return static_cast<int>(at) + 1;
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
  constexpr std::array<const char*, 5> suffixes = {"", "kb", "mb", "gb", "tb"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < suffixes.size()) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + suffixes[unit];
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
