// JSON from outside, parsed only when it is not nested so deep that the library's recursion would
// end the program. Any thread; no exception of the library leaves.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::sim {

// nullopt: it is no JSON, no UTF-8, nested deeper than 64 levels, or a number that no double holds.
std::optional<nlohmann::json> ParseBoundedJson(std::string_view text);
// On one line; bytes that are no UTF-8 are replaced.
std::string WriteJson(const nlohmann::json& json);

}  // namespace headrace::sim
