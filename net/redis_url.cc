#include "net/redis_url.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/hex.h"

namespace headrace::net {
namespace {

constexpr uint64_t kMaxDatabase = 1u << 20;
constexpr size_t kMaxHosts = 64;

Result<std::string> PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return Fail(Errc::kInvalid, "a % in an address has no two hex digits");
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

// Takes "user:password@" off the front of `*text`.
Status TakeCredentials(std::string_view* text, RedisUrl* url) {
  const size_t at = text->rfind('@');
  if (at == std::string_view::npos) return {};
  std::string_view both = text->substr(0, at);
  text->remove_prefix(at + 1);
  const size_t colon = both.find(':');
  HR_TRY(url->user, PercentDecoded(both.substr(0, colon)));
  if (colon == std::string_view::npos) return {};
  HR_TRY(url->password, PercentDecoded(both.substr(colon + 1)));
  return {};
}

Status SetDatabase(std::string_view text, RedisUrl* url) {
  auto number = ParseNumber(text);
  if (!number || *number > kMaxDatabase) {
    return Fail(Errc::kInvalid, "the database of an address is no number");
  }
  url->database = static_cast<uint32_t>(*number);
  return {};
}

Status ParseHosts(std::string_view text, RedisUrl* url) {
  while (true) {
    const size_t comma = text.find(',');
    std::string host(text.substr(0, comma));
    // A colon outside of brackets stands before a port.
    const size_t bracket = host.rfind(']');
    const size_t colon = host.rfind(':');
    const bool ported =
        colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
    if (!ported) host += fmt::format(":{}", kRedisPort);
    HR_TRY(HostPort parsed, ParseHostPort(host));
    if (parsed.port == 0) return Fail(Errc::kInvalid, "port 0 cannot be dialled");
    if (url->hosts.size() == kMaxHosts) return Fail(Errc::kLimit, "an address has too many hosts");
    url->hosts.push_back(std::move(parsed));
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

Status ParseUnix(std::string_view rest, RedisUrl* url) {
  const size_t query = rest.find('?');
  if (query != std::string_view::npos) {
    std::string_view words = rest.substr(query + 1);
    if (!words.starts_with("db=")) return Fail(Errc::kInvalid, "unix:// knows only ?db=");
    HR_RETURN_IF_ERROR(SetDatabase(words.substr(3), url));
    rest = rest.substr(0, query);
  }
  if (!rest.starts_with('/')) HR_RETURN_IF_ERROR(TakeCredentials(&rest, url));
  if (!rest.starts_with('/')) return Fail(Errc::kInvalid, "unix:// needs an absolute path");
  url->path = rest;
  return {};
}

}  // namespace

Result<RedisUrl> ParseRedisUrl(std::string_view text) {
  RedisUrl url;
  std::string_view scheme = "redis";
  std::string_view rest = text;
  const size_t colon = text.find("://");
  if (colon != std::string_view::npos) {
    scheme = text.substr(0, colon);
    rest = text.substr(colon + 3);
  }
  if (scheme == "unix") {
    HR_RETURN_IF_ERROR(ParseUnix(rest, &url));
    return url;
  }
  url.tls = scheme == "rediss" || scheme == "valkeys";
  if (!url.tls && scheme != "redis" && scheme != "valkey") {
    return Fail(Errc::kInvalid, "write redis://, rediss://, valkey://, valkeys:// or unix://");
  }
  HR_RETURN_IF_ERROR(TakeCredentials(&rest, &url));
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    if (slash + 1 < rest.size()) HR_RETURN_IF_ERROR(SetDatabase(rest.substr(slash + 1), &url));
    rest = rest.substr(0, slash);
  }
  HR_RETURN_IF_ERROR(ParseHosts(rest, &url));
  return url;
}

std::string RedisUrl::Shown() const {
  std::string shown = path.empty() ? (tls ? "rediss://" : "redis://") : "unix://";
  if (!user.empty() || !password.empty()) shown += user + (password.empty() ? "@" : ":***@");
  for (size_t i = 0; i < hosts.size(); ++i) {
    const bool bracket = hosts[i].host.find(':') != std::string::npos;
    shown += fmt::format("{}{}{}{}:{}", i == 0 ? "" : ",", bracket ? "[" : "", hosts[i].host,
                         bracket ? "]" : "", hosts[i].port);
  }
  shown += path;
  if (database != 0) shown += (path.empty() ? "/" : "?db=") + std::to_string(database);
  return shown;
}

}  // namespace headrace::net
