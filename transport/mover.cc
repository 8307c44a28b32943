#include "transport/mover.h"

#include "transport/local/process_mover.h"
#include "transport/local/thread_mover.h"
#include "transport/local/workers.h"

namespace headrace::transport {

Result<std::unique_ptr<Mover>> CreateMover(const MoverOptions& options) {
  if (options.threads == 0 || options.threads > kMaxMoverThreads) {
    return Fail(Errc::kInvalid, "a mover has 1 to 256 threads");
  }
  if (options.ring_blocks == 0) return Fail(Errc::kInvalid, "a mover's ring holds no block");
  return options.program.empty() ? CreateThreadMover(options) : CreateProcessMover(options);
}

}  // namespace headrace::transport
