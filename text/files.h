// Reads the files of a model. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace headrace::text {

// kNotFound when there is none, kLimit over `max_bytes`; `why` names the file.
Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes, std::string* why);

}  // namespace headrace::text
