// index.hash16.<algo>: a 16-token block by every algorithm of wire/hash.h, in this process. One
// thread.
#pragma once

#include <cstdint>
#include <span>

namespace headrace::bench {

void RunHashBench();

// The keys of llm-d's FNV-1a chain as its bytes define it, a multiplication a byte: what a plain
// loop takes. Returns the last key.
uint64_t BareFnvChain(uint64_t root, std::span<const uint32_t> tokens, uint32_t block_tokens);

}  // namespace headrace::bench
