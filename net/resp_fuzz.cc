// Any bytes as replies: parsed or refused, in one piece as in two, and what is parsed lies inside.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "net/resp.h"

using namespace headrace;

namespace {

size_t CountBytes(const net::RespValue& value, std::string_view bytes) {
  if (value.is_array()) {
    size_t sum = 0;
    net::RespValue element = value.size() > 0 ? value.first() : value;
    for (size_t i = 0; i < value.size(); ++i) {
      sum += CountBytes(element, bytes);
      if (i + 1 < value.size()) element = element.next();
    }
    return sum;
  }
  const std::string_view text = value.text();
  HR_CHECK(text.empty() || (text.data() >= bytes.data() &&
                            text.data() + text.size() <= bytes.data() + bytes.size()));
  return text.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint32_t replies = 1 + data[0] % 4;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const std::string_view half = bytes.substr(0, bytes.size() * data[1] / 255);
  net::RespParser whole(replies);
  net::RespParser pieces(replies);
  const auto complete = whole.Parse(bytes);
  auto early = pieces.Parse(half);
  if (early && !*early) early = pieces.Parse(bytes);
  HR_CHECK(early.has_value() == complete.has_value());
  if (!complete) return 0;
  HR_CHECK(*early == *complete);
  if (!*complete) return 0;
  HR_CHECK(whole.size() == pieces.size() && whole.size() <= bytes.size());
  HR_CHECK(CountBytes(whole.root(bytes), bytes) <= whole.size());
  const net::RespCopy copy(whole.root(bytes));
  HR_CHECK(copy.root().size() == replies);
  return 0;
}
