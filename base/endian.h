// Numbers as bytes, the highest one first. Pure functions; any thread.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>

namespace headrace {

// As many bytes as T has.
template <std::unsigned_integral T>
void AppendBigEndian(T value, std::string* out) {
  char bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) {
    bytes[i] = static_cast<char>(value >> (8 * (sizeof(T) - 1 - i)));
  }
  out->append(bytes, sizeof(T));
}

template <std::unsigned_integral T>
std::string BigEndian(T value) {
  std::string bytes;
  AppendBigEndian(value, &bytes);
  return bytes;
}

}  // namespace headrace
