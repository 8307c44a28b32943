// Bytes as base64 (RFC 4648, with padding). Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace headrace::sim {

inline void AppendBase64(std::span<const uint8_t> bytes, std::string* out) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t group = (uint32_t{bytes[i]} << 16) |
                           (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0) |
                           (left > 2 ? uint32_t{bytes[i + 2]} : 0);
    *out += kDigits[group >> 18];
    *out += kDigits[(group >> 12) & 63];
    *out += left > 1 ? kDigits[(group >> 6) & 63] : '=';
    *out += left > 2 ? kDigits[group & 63] : '=';
  }
}

}  // namespace headrace::sim
