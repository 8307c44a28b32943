#include <string_view>

#include "base/result.h"
#include "sim/chat_api.h"
#include "text/utf8.h"

namespace {

namespace sim = headrace::sim;

void CheckPrompt(const sim::Prompt& prompt) {
  HR_CHECK(prompt.ids.empty() && prompt.text.ends_with("\n") && prompt.text.starts_with("### "));
  HR_CHECK(headrace::text::IsUtf8(prompt.text) && headrace::text::IsUtf8(prompt.echo));
  HR_CHECK(prompt.text.find(prompt.echo) != std::string::npos);
  for (const sim::MediaPart& part : prompt.media) {
    HR_CHECK(part.hash.size() == 32 && part.offset < prompt.text.size());
  }
}

}  // namespace

// Whatever comes is a request, or one clear 400.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto chat = sim::ParseChat(body, {.cache_hit_threshold = 0.5});
  if (!chat) {
    HR_CHECK(chat.error().status == 400 && !chat.error().message.empty());
    HR_CHECK(headrace::text::IsUtf8(sim::ErrorBody(chat.error())));
    return 0;
  }
  const sim::Request& request = chat->request;
  HR_CHECK(request.prompts.size() == 1);
  CheckPrompt(request.prompts[0]);
  HR_CHECK(request.cache_hit_threshold >= 0 && request.cache_hit_threshold <= 1);
  for (const std::string& stop : request.sampling.stop) HR_CHECK(!stop.empty());
  const auto wrong = sim::CheckSampling(request);
  HR_CHECK(!wrong || (wrong->status == 400 && wrong->param));
  HR_CHECK(wrong || request.n > 0);
  return 0;
}
