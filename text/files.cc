#include "text/files.h"

#include <filesystem>
#include <fstream>

namespace headrace::text {

Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes, std::string* why) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    *why = path + ": there is no such file";
    return Fail(Errc::kNotFound, "no such file");
  }
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error || size > max_bytes) {
    *why = path + ": larger than " + std::to_string(max_bytes) + " bytes";
    return Fail(Errc::kLimit, "the file is too large");
  }
  std::string content(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(content.data(), static_cast<std::streamsize>(size))) {
    *why = path + ": cannot be read";
    return Fail(Errc::kIo, "the file cannot be read");
  }
  return content;
}

}  // namespace headrace::text
