// Memory that an engine shares with a server: a memfd that can no longer change its size, so that
// nobody who maps it can be killed by a fault. Stands on base_core alone, so that the client
// library can use it. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::transport {

// A memfd of `bytes`, close-on-exec, sealed against shrinking and growing, not mapped. kNoSpace
// when the machine refuses the size. Appears in /proc as "memfd:headrace-<name>".
Result<Fd> CreateSharedBuffer(const std::string& name, uint64_t bytes);

// True when the file can no longer be made shorter.
bool CannotShrink(int fd);

}  // namespace headrace::transport
