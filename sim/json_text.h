// Writes JSON by hand: what every reply is made of. Appends, allocates nothing else. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace headrace::sim {

// How many bytes from the beginning on stand in a JSON string as they are: no quote, no backslash
// and no control character among them.
size_t PlainRun(std::string_view text);

// With its quotes. `text` is UTF-8; what is not goes through as it is.
void AppendJsonString(std::string_view text, std::string* out);
void AppendNumber(int64_t number, std::string* out);

}  // namespace headrace::sim
