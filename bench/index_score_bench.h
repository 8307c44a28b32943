// index.score512.* and index.score_tokens8k.*: prompts scored in an index of 10 M blocks. One
// thread.
#pragma once

#include "bench/index_world.h"

namespace headrace::bench {

void RunIndexScores(const IndexOptions& options);

}  // namespace headrace::bench
