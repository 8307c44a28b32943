#include "base/result.h"
#include "sim/token_api.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto call = sim::ParseTokenize(body);
  if (!call) {
    HR_CHECK(call.error().status == 400 && !call.error().message.empty());
  } else {
    HR_CHECK(call->prompt.ids.empty() && (!call->chat || !call->prompt.text.empty()));
  }
  const auto back = sim::ParseDetokenize(body);
  HR_CHECK(back || back.error().status == 400);
  return 0;
}
