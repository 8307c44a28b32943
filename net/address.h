// Network addresses as people write them. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::net {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// "127.0.0.1:9091", "[::1]:9091", "localhost:9091". Both parts must be there; a host with colons
// stands in brackets.
Result<HostPort> ParseHostPort(std::string_view text);

// Whether only programs of this host can reach a socket that is bound to it: "localhost", "::1", or
// a number of 127.0.0.0/8. A name may begin with "127." as well, and it may lead anywhere.
bool IsLoopback(std::string_view host);

}  // namespace headrace::net
