// Values made up to fit a JSON schema. Pure functions of their random numbers; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "sim/tools.h"

namespace headrace::sim {

// Longer arguments are not begun: what a schema still requires from there on is null.
inline constexpr size_t kMaxArgumentBytes = 64 << 10;

// A JSON object. Of what is no schema, and of "", it is empty.
std::string MakeArguments(std::string_view schema, const ToolOptions& options, Random* random);

}  // namespace headrace::sim
