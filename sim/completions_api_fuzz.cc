#include <string_view>

#include "base/result.h"
#include "sim/completions_api.h"
#include "sim/model_api.h"
#include "text/utf8.h"

// Whatever comes is a request, or one clear 400; the short bodies of adapters ride along.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto load = sim::ParseLoraLoad(body);
  HR_CHECK(load ? !load->adapter.name.empty() : load.error().status == 400);
  const auto request = sim::ParseCompletion(body, {});
  if (!request) {
    HR_CHECK(request.error().status == 400 && !request.error().message.empty());
    HR_CHECK(headrace::text::IsUtf8(sim::ErrorBody(request.error())));
    return 0;
  }
  HR_CHECK(!request->prompts.empty());
  for (const sim::Prompt& prompt : request->prompts) {
    HR_CHECK(prompt.ids.empty() || prompt.text.empty());
    HR_CHECK(headrace::text::IsUtf8(prompt.text));
    HR_CHECK(prompt.ids.empty() ? prompt.echo == prompt.text : !prompt.echo.empty());
  }
  const auto wrong = sim::CheckSampling(*request);
  HR_CHECK(!wrong || (wrong->status == 400 && wrong->param));
  return 0;
}
