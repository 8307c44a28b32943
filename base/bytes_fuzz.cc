// What a size or a duration parser accepts, it spells and reads back as the same value.
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto bytes = headrace::ParseSize(text)) {
    auto back = headrace::ParseSize(headrace::SpellSize(*bytes));
    HR_CHECK(back && *back == *bytes);
    HR_CHECK(!headrace::FormatSize(*bytes).empty());
  }
  if (auto duration = headrace::ParseDuration(text)) {
    HR_CHECK(duration->count() >= 0);
    auto back = headrace::ParseDuration(headrace::SpellDuration(*duration));
    HR_CHECK(back && *back == *duration);
  }
  if (auto duration = headrace::ParseGoDuration(text); duration && duration->count() >= 0) {
    auto back = headrace::ParseGoDuration(headrace::SpellDuration(*duration));
    HR_CHECK(back && *back == *duration);
  }
  return 0;
}
