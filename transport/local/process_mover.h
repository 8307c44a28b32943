// The mover as a process of its own, started from options.program and again when it dies. The
// core's thread.
#pragma once

#include <memory>

#include "base/result.h"
#include "transport/mover.h"

namespace headrace::transport {

Result<std::unique_ptr<Mover>> CreateProcessMover(const MoverOptions& options);

}  // namespace headrace::transport
