// What flags take from elsewhere: files, and standard input.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/command_line.h"

namespace headrace::cli {

constexpr size_t kMaxTextFile = 16u << 20;        // bytes
constexpr size_t kMaxStandardInput = 256u << 20;  // the same

// On failure `*message` is the line for the user, with the flag in it.
Result<std::string> ReadTextFile(std::string_view flag, const std::string& path,
                                 std::string* message);

// Where the flag stands as "-", standard input takes the dash's place.
void TakeStandardInput(std::string_view flag, CommandLine* line);

}  // namespace headrace::cli
