#include "sim/responses_api.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  const auto read = sim::ParseResponses({reinterpret_cast<const char*>(data), size}, {});
  if (!read) {
    HR_CHECK(read.error().status == 400 && !read.error().message.empty());
    return 0;
  }
  HR_CHECK(read->request.prompts.size() == 1 && read->request.n == 1);
  HR_CHECK(read->request.prompts[0].text.ends_with("\n"));
  // What a reply says again is JSON, on one line.
  const sim::Output output{.text = "a", .ids = {1}, .ends = {1}};
  const auto format = sim::MakeResponsesFormat({.id = "1", .model = "m"}, read->echo);
  format->SetOutput(0, &output);
  const std::string body = format->Whole({}, "");
  HR_CHECK(body.find('\n') == body.npos);
  sim::JsonDocument document;
  HR_CHECK(document.ParseObject(body).has_value());
  return 0;
}
