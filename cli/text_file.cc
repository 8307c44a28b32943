#include "cli/text_file.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/file.h"

namespace headrace::cli {

Result<std::string> ReadTextFile(std::string_view flag, const std::string& path,
                                 std::string* message) {
  auto text = ReadFile(path, kMaxTextFile);
  if (!text) return WrongFlag(flag, fmt::format("{} cannot be read", Quoted(path)), message);
  return text;
}

void TakeStandardInput(std::string_view flag, CommandLine* line) {
  const auto place = line->values.find(flag);
  if (place == line->values.end() || place->second != "-") return;
  place->second.clear();
  char buffer[1 << 16];
  size_t got = 0;
  while (place->second.size() < kMaxStandardInput &&
         (got = std::fread(buffer, 1, sizeof buffer, stdin)) > 0) {
    place->second.append(buffer, got);
  }
}

}  // namespace headrace::cli
