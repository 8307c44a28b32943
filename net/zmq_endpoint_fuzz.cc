// Any endpoint is parsed or refused; what passes for local is nothing that others can reach.
#include <cstddef>
#include <cstdint>

#include "net/zmq_endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using headrace::net::ZmqEndpoint;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto endpoint = headrace::net::ParseZmqEndpoint(text);
  if (!endpoint) return 0;
  if (endpoint->scheme == ZmqEndpoint::Scheme::kTcp) {
    HR_CHECK(!endpoint->host.empty() && endpoint->path.empty());
    HR_CHECK(endpoint->is_local() || endpoint->host != "localhost");
    if (endpoint->host.find('*') != std::string::npos) HR_CHECK(!endpoint->is_local());
  } else {
    HR_CHECK(endpoint->is_local() && !endpoint->path.empty());
  }
  return 0;
}
