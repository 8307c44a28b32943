// Whether a JSON schema is one, as far as a call can be made up from it. Keywords that say nothing
// of that are let through whatever they hold. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/json_read.h"

namespace headrace::sim {

// Longer schemas are refused: references are looked up one by one.
inline constexpr size_t kMaxSchemaBytes = 256 << 10;

// Of the parameters of a tool: where, and what: ".properties.x: ...".
std::optional<std::string> WhatIsWrongWithSchema(std::string_view schema);

// What "#/$defs/x" stands for in `root`; nowhere when there is no such thing in it.
JsonValue ResolveReference(JsonValue root, std::string_view reference);

}  // namespace headrace::sim
