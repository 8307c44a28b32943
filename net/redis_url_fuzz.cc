// Any text as an address: refused, or it names something that can be dialled, and no password
// shows.
#include <cstddef>
#include <cstdint>

#include "net/redis_url.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto url = net::ParseRedisUrl(text);
  if (!url) return 0;
  HR_CHECK(url->hosts.empty() != url->path.empty());
  for (const net::HostPort& host : url->hosts) HR_CHECK(!host.host.empty() && host.port != 0);
  HR_CHECK(url->path.empty() || url->path.front() == '/');
  url->password = "one";
  const std::string shown = url->Shown();
  url->password = "another";
  HR_CHECK(url->Shown() == shown);
  return 0;
}
