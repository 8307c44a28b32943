#include <string_view>

#include "base/result.h"
#include "sim/tools.h"

// Whatever a schema says, a call ends as a JSON object; of one that was let through, it is not
// refused afterwards either.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  if (size == 0) return 0;
  const std::string_view schema(reinterpret_cast<const char*>(data + 1), size - 1);
  sim::ToolRequest request{
      .tools = {{"f", std::string(schema)}}, .choice = sim::ToolChoice::kRequired, .named = ""};
  const sim::ToolOptions options{.max_array_length = 3, .extra_call_percent = 0};
  const auto wrong = sim::CheckTools(request, options);
  HR_CHECK(!wrong || (wrong->status == 400 && wrong->param && !wrong->message.empty()));
  headrace::Random random(data[0]);
  const auto calls = sim::MakeToolCalls(request, options, &random);
  HR_CHECK(calls.size() == 1);
  sim::JsonDocument document;
  HR_CHECK(document.ParseObject(calls[0].arguments));

  std::optional<headrace::sim::ApiError> error;
  if (const auto body = document.ParseObject(schema)) {
    sim::FieldReader fields(*body, "", &error);
    request = sim::ReadTools(&fields);
    if (!error) sim::MakeToolCalls(request, options, &random);
    HR_CHECK(!error || (error->status == 400 && error->param));
  }
  return 0;
}
