// What comes out is well-formed, is what came in where that was well-formed, and never grows by
// more than a mark a byte.
#include "base/result.h"
#include "text/utf8.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string clean = text::ToUtf8(bytes);
  HR_CHECK(text::IsUtf8(clean));
  HR_CHECK(text::IsUtf8(bytes) == (clean == bytes));
  HR_CHECK(clean.size() <= 3 * size);
  HR_CHECK(text::ToUtf8(clean) == clean);
  return 0;
}
