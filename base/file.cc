#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"

namespace headrace {

Result<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return Fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, "the file cannot be opened", errno);
  }
  std::string content;
  std::array<char, 1 << 16> part;
  for (;;) {
    const ssize_t got = ::read(fd.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(Errc::kIo, "the file cannot be read", errno);
    if (got == 0) return content;
    content.append(part.data(), static_cast<size_t>(got));
    if (content.size() > max_bytes) return Fail(Errc::kLimit, "the file is too large", EFBIG);
  }
}

}  // namespace headrace
