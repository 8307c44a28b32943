// Whole files into memory. Any thread.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace headrace {

// A pipe will do. kNotFound: there is none; kLimit, with EFBIG: it holds more than `max_bytes`;
// else kIo. The error's `os` says why.
Result<std::string> ReadFile(const std::string& path, size_t max_bytes);

}  // namespace headrace
