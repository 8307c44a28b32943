#include "base/result.h"
#include "sim/embeddings_api.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  const auto call = sim::ParseEmbeddings({reinterpret_cast<const char*>(data), size});
  if (!call) {
    HR_CHECK(call.error().status == 400 && !call.error().message.empty());
    return 0;
  }
  HR_CHECK(!call->inputs.empty());
  for (const sim::Prompt& input : call->inputs) HR_CHECK(input.text.empty() != input.ids.empty());
  HR_CHECK(!call->dimensions ||
           (*call->dimensions > 0 && *call->dimensions <= sim::kMaxEmbeddingDimensions));
  return 0;
}
