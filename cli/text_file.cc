#include "cli/text_file.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>

namespace headrace::cli {

Result<std::string> ReadTextFile(std::string_view flag, const std::string& path,
                                 std::string* message) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char buffer[1 << 16];
  while (file && text.size() <= kMaxTextFile) {
    file.read(buffer, sizeof buffer);
    text.append(buffer, static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() || text.size() > kMaxTextFile) {
    return WrongFlag(flag, fmt::format("{} cannot be read", Quoted(path)), message);
  }
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
