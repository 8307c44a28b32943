// Sizes and durations as people write them. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace headrace {

// "30gb", "64kb", "512" (bytes); k, m, g, t are powers of 1024, upper or lower case, with or
// without "b" or "ib"; "b" alone is bytes. Refuses signs, fractions, blanks and overflow.
Result<uint64_t> ParseSize(std::string_view text);

// For people: "1.5 GiB", "512 B".
std::string FormatSize(uint64_t bytes);
// Exact, and ParseSize reads it back: "30gb", "1536mb", "512".
std::string SpellSize(uint64_t bytes);

// "250us", "5ms", "30s", "2m", "1h", "10ns", and a bare "0". Refuses signs, fractions, blanks,
// numbers without a unit, and overflow.
Result<Duration> ParseDuration(std::string_view text);
// As Go writes them: "1.5s", "1m30s", "-200ms", and a bare "0"; units ns, us, ms, s, m and h. Cut
// to whole nanoseconds. Refuses blanks, numbers without a unit, and overflow.
Result<Duration> ParseGoDuration(std::string_view text);
// Exact, and both of the above read it back: "90s", "5ms". Not for negative durations.
std::string SpellDuration(Duration duration);

// A whole decimal number: digits only, no overflow.
Result<uint64_t> ParseNumber(std::string_view text);

}  // namespace headrace
