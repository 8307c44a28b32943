// index.bytes_per_block, index.bytes_per_holder and index.grow.*: what an index takes, and how its
// work grows with it. Each size in a process of its own.
#pragma once

#include "bench/index_world.h"

namespace headrace::bench {

void RunIndexMemory(const IndexOptions& options);
void RunIndexGrowth(const IndexOptions& options);

}  // namespace headrace::bench
