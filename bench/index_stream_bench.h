// index.stream and index.stream.lost: 200 000 events of eight pods over ZeroMQ, from a process that
// sends as fast as it can, through the subscriber into the index.
#pragma once

#include "bench/index_world.h"

namespace headrace::bench {

void RunIndexStream(const IndexOptions& options);

}  // namespace headrace::bench
