#include "cli/server_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cli/text_file.h"
#include "indexer/score_text.h"
#include "net/address.h"

namespace headrace::cli {
namespace {

constexpr int kOk = 200;
constexpr uint64_t kMaxAnswer = 256u << 20;  // bytes

}  // namespace

Result<std::string> AddressOf(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (url.starts_with("https://")) {
    return Fail(Errc::kInvalid, "TLS is not spoken here; write for example http://127.0.0.1:9091");
  }
  if (url.starts_with(kScheme)) url.remove_prefix(kScheme.size());
  if (url.ends_with('/')) url.remove_suffix(1);
  if (!net::ParseHostPort(url)) {
    return Fail(Errc::kInvalid, "is no address; write for example http://127.0.0.1:9091");
  }
  return std::string(url);
}

Result<std::string> ReadToken(const CommandLine& line, std::string* message) {
  const std::string* path = line.Find("token-file");
  if (path == nullptr) return std::string();
  HR_TRY(const std::string text, ReadTextFile("token-file", *path, message));
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view row = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), row.size() + 1));
    const size_t begin = row.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos || row[begin] == '#') continue;
    return std::string(row.substr(begin, row.find_first_of(" \t\r", begin) - begin));
  }
  return WrongFlag("token-file", fmt::format("{} holds no token", Quoted(*path)), message);
}

Result<ServerPlace> ReadServerPlace(const CommandLine& line, std::string* message) {
  const std::string* url = line.Find("url");
  auto address = AddressOf(url == nullptr ? kDefaultUrl : *url);
  if (!address) return WrongFlag("url", address.error().what, message);
  HR_TRY(std::string token, ReadToken(line, message));
  return ServerPlace{.address = std::move(*address), .token = std::move(token)};
}

Result<std::string> AskServer(const ServerPlace& place, const net::HttpCall& call,
                              std::string* message) {
  auto reply = net::HttpAsk(place.address, call, {place.timeout, kMaxAnswer});
  if (!reply) {
    *message = fmt::format("{}: {}", place.address, reply.error().what);
    if (reply.error().os > 0) *message += fmt::format(" ({})", std::strerror(reply.error().os));
    return Fail(reply.error());
  }
  if (reply->status == kOk) return std::move(reply->body);
  *message = fmt::format("{} answers {} {}", place.address, reply->status,
                         indexer::ErrorText(reply->body));
  return Fail(Errc::kInvalid, "the request is refused");
}

}  // namespace headrace::cli
