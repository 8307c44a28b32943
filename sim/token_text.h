// Pieces of a reply's text. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sim/json_text.h"
#include "sim/request.h"

namespace headrace::sim {

// The beginning of the character in which `place` lies.
inline size_t CharacterBegin(std::string_view text, size_t place) {
  if (place >= text.size()) return text.size();
  while (place > 0 && (static_cast<unsigned char>(text[place]) & 0xc0) == 0x80) --place;
  return place;
}

// What of the text is due with a token: a character that several make is told by the last of them.
inline std::string_view TokenText(const Output& output, size_t token) {
  HR_CHECK(token < output.ends.size());
  const size_t begin = token == 0 ? 0 : CharacterBegin(output.text, output.ends[token - 1]);
  const size_t end = CharacterBegin(output.text, output.ends[token]);
  return std::string_view(output.text).substr(begin, end - begin);
}

// As it stands between the quotes of a JSON string.
inline std::string JsonEscaped(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, &quoted);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace headrace::sim
