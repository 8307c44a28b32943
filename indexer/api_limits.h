// What bounds one request. Plain data.
#pragma once

#include <cstdint>

namespace headrace::indexer {

struct ApiLimits {
  uint32_t max_tokens = 1u << 20;  // of one prompt
  uint32_t max_pods = 4096;        // of one filter
};

}  // namespace headrace::indexer
