#include "net/address.h"

#include "base/bytes.h"

namespace headrace::net {

Result<HostPort> ParseHostPort(std::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Fail(Errc::kInvalid, "address has no port");
  std::string_view host = text.substr(0, colon);
  bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Fail(Errc::kInvalid, "address has no host");
  if (host.find_first_of("[]/ ") != std::string_view::npos ||
      (!bracketed && host.find(':') != std::string_view::npos)) {
    return Fail(Errc::kInvalid, "address is not host:port");
  }
  auto port = ParseNumber(text.substr(colon + 1));
  if (!port || *port > UINT16_MAX) return Fail(Errc::kInvalid, "port is not from 0 to 65535");
  return HostPort{std::string(host), static_cast<uint16_t>(*port)};
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") &&
          host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace headrace::net
