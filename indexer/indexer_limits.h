// What bounds the indexer; each has an option of the server. Plain data.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "indexer/api_limits.h"

namespace headrace::indexer {

struct IndexerLimits {
  ApiLimits api;
  uint32_t threads = 2;                  // that read, tokenize, hash and write
  uint32_t max_waiting = 1024;           // requests
  uint64_t prefix_bytes = 256ull << 20;  // tokenized prefixes kept for one model
  uint32_t max_pending = 1u << 18;       // events that wait for what they name
  uint64_t max_pending_bytes = 64ull << 20;
  Duration pending_age = seconds(600);
  uint32_t max_speculative = 1u << 20;  // keys
};

}  // namespace headrace::indexer
