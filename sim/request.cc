#include "sim/request.h"

#include "base/result.h"

namespace headrace::sim {

const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kRemoteDecode:
      return "remote_decode";
    case FinishReason::kCacheThreshold:
      return "cache_threshold";
  }
  HR_CHECK(false);
}

}  // namespace headrace::sim
