#include "sim/messages_api.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  const auto read = sim::ParseMessages({reinterpret_cast<const char*>(data), size}, {});
  if (!read) {
    HR_CHECK(read.error().status == 400 && !read.error().message.empty());
    return 0;
  }
  HR_CHECK(read->request.prompts.size() == 1 && read->request.n == 1);
  HR_CHECK(read->request.sampling.max_tokens.has_value());
  const sim::Prompt& prompt = read->request.prompts[0];
  HR_CHECK(prompt.text.size() > prompt.echo.size() && prompt.text.ends_with("\n"));
  for (const sim::MediaPart& part : prompt.media) HR_CHECK(part.offset < prompt.text.size());
  return 0;
}
