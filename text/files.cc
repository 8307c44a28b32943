#include "text/files.h"

#include <filesystem>

#include "base/file.h"

namespace headrace::text {

Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes, std::string* why) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    *why = path + ": there is no such file";
    return Fail(Errc::kNotFound, "no such file");
  }
  auto content = headrace::ReadFile(path, max_bytes);
  if (!content) {
    const bool large = content.error().code == Errc::kLimit;
    *why = large ? path + ": larger than " + std::to_string(max_bytes) + " bytes"
                 : path + ": cannot be read";
  }
  return content;
}

}  // namespace headrace::text
