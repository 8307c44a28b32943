// Well-formed UTF-8. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace headrace::text {

// No surrogates, nothing overlong, nothing above U+10FFFF.
bool IsUtf8(std::string_view bytes);

// Each longest run of bytes that begins a character and does not finish it, and each byte that
// begins none, becomes one U+FFFD: what Python's bytes.decode(errors="replace") makes of it.
std::string ToUtf8(std::string_view bytes);

}  // namespace headrace::text
