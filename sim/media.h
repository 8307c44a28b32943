// Pieces of a prompt that are no text. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace headrace::sim {

// 32 hexadecimal digits: XXH3 of an address, or of the data that stands in the request.
std::string MediaHash(std::string_view source);

}  // namespace headrace::sim
