#include "base/result.h"
#include "sim/generate_api.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace sim = headrace::sim;
  const auto read = sim::ParseGenerate({reinterpret_cast<const char*>(data), size}, {});
  if (!read) {
    HR_CHECK(read.error().status == 400 && !read.error().message.empty());
    return 0;
  }
  HR_CHECK(read->request.prompts.size() == 1 && !read->request.prompts[0].ids.empty());
  HR_CHECK(read->echo.choices == read->request.n);
  return 0;
}
