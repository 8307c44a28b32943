// The mover as threads of this process. The core's thread.
#pragma once

#include <memory>

#include "base/result.h"
#include "transport/mover.h"

namespace headrace::transport {

Result<std::unique_ptr<Mover>> CreateThreadMover(const MoverOptions& options);

// "avx2 non-temporal copies from 1 KiB", for Describe.
std::string DescribeCopies();
// Statistics that the copying side keeps in the channel.
class Channel;
MoverStats ReadStats(const Channel& channel);

}  // namespace headrace::transport
