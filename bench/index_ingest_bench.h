// index.ingest16: an event of 16 blocks from its bytes into an index of 10 M blocks. One thread.
#pragma once

#include "bench/index_world.h"

namespace headrace::bench {

void RunIndexIngest(const IndexOptions& options);

}  // namespace headrace::bench
