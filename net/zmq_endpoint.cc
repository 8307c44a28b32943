#include "net/zmq_endpoint.h"

#include <algorithm>

#include "net/address.h"

namespace headrace::net {
namespace {

constexpr size_t kMaxEndpoint = 255;  // libzmq keeps no more of some kinds

bool IsText(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c != 0x7f; });
}

Result<ZmqEndpoint> ParseTcp(std::string_view rest) {
  // "src;dst" binds the dialling end too: nothing here knows what that means for access.
  if (rest.find(';') != std::string_view::npos) {
    return Fail(Errc::kInvalid, "endpoint has a source address");
  }
  const size_t colon = rest.rfind(':');
  const bool any_port = colon != std::string_view::npos && rest.substr(colon + 1) == "*";
  const std::string address =
      any_port ? std::string(rest.substr(0, colon)) + ":0" : std::string(rest);
  HR_TRY(HostPort parsed, ParseHostPort(address));
  ZmqEndpoint endpoint;
  endpoint.host = std::move(parsed.host);
  endpoint.port = parsed.port;
  return endpoint;
}

Result<ZmqEndpoint> ParsePath(ZmqEndpoint::Scheme scheme, std::string_view path) {
  if (path.empty()) return Fail(Errc::kInvalid, "endpoint has no path");
  ZmqEndpoint endpoint;
  endpoint.scheme = scheme;
  endpoint.path = path;
  return endpoint;
}

}  // namespace

bool ZmqEndpoint::is_local() const {
  return scheme != Scheme::kTcp || IsLoopback(host);
}

bool ZmqEndpoint::must_bind() const {
  return scheme != Scheme::kTcp || host.find('*') != std::string::npos || host == "::" || port == 0;
}

Result<ZmqEndpoint> ParseZmqEndpoint(std::string_view text) {
  constexpr std::string_view kTcp = "tcp://";
  constexpr std::string_view kIpc = "ipc://";
  constexpr std::string_view kInproc = "inproc://";
  if (text.size() > kMaxEndpoint || !IsText(text)) {
    return Fail(Errc::kInvalid, "endpoint is too long or has blanks");
  }
  if (text.starts_with(kTcp)) return ParseTcp(text.substr(kTcp.size()));
  using Scheme = ZmqEndpoint::Scheme;
  if (text.starts_with(kIpc)) return ParsePath(Scheme::kIpc, text.substr(kIpc.size()));
  if (text.starts_with(kInproc)) return ParsePath(Scheme::kInproc, text.substr(kInproc.size()));
  return Fail(Errc::kInvalid, "endpoint begins with none of tcp://, ipc://, inproc://");
}

}  // namespace headrace::net
