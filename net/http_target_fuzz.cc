// Any request target and any address is parsed or refused; what is parsed keeps its promises.
#include <cstddef>
#include <cstdint>

#include "net/address.h"
#include "net/http_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto target = headrace::net::ParseTarget(text)) {
    HR_CHECK(target->path.starts_with('/') && target->path.size() <= text.size());
  }
  if (auto address = headrace::net::ParseHostPort(text)) {
    HR_CHECK(!address->host.empty() && address->host.size() < text.size());
  }
  return 0;
}
