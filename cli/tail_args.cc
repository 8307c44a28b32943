#include "cli/tail_args.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "cli/text_file.h"
#include "net/zmq_endpoint.h"

namespace headrace::cli {
namespace {

constexpr Flag kFlags[] = {
    {"topic", "PREFIX", "only topics that begin so (kv@POD@MODEL); default: all"},
    {"replay", "ENDPOINT",
     "the publisher's replay socket: what it keeps comes first,\nand gaps are filled"},
    {"count", "N", "end after N events"},
    {"for", "TIME", "end after this time: 30s, 5m"},
    {"server-key", "KEY", "the publisher's public CURVE key, 40 characters of Z85"},
    {"key-file", "FILE", "our secret CURVE key; default: a new one"},
};

// inproc has nobody of another process behind it.
bool CanDial(const net::ZmqEndpoint& endpoint) {
  using Scheme = net::ZmqEndpoint::Scheme;
  if (endpoint.scheme == Scheme::kTcp) return !endpoint.must_bind();
  return endpoint.scheme == Scheme::kIpc;
}

Status CheckEndpoint(const char* name, const std::string& text, std::string* message) {
  const auto endpoint = net::ParseZmqEndpoint(text);
  if (endpoint && CanDial(*endpoint)) return {};
  *message = fmt::format("{}: {} is no endpoint to dial; write for example tcp://127.0.0.1:5557",
                         name, Quoted(text));
  return Fail(Errc::kInvalid, "command line");
}

Result<net::CurveKeys> OwnKeys(const std::string* path, std::string* message) {
  if (path == nullptr) {
    auto made = net::MakeCurveKeys();
    if (!made) WrongFlag("server-key", made.error().what, message);
    return made;
  }
  HR_TRY(const std::string text, ReadTextFile("key-file", *path, message));
  auto secret = FindKey(text);
  if (!secret) return WrongFlag("key-file", secret.error().what, message);
  auto public_key = net::CurvePublicKey(*secret);
  if (!public_key) return WrongFlag("key-file", public_key.error().what, message);
  return net::CurveKeys{std::move(*public_key), std::move(*secret)};
}

}  // namespace

std::span<const Flag> TailFlags() {
  return kFlags;
}

Result<std::string> FindKey(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  while (true) {
    const size_t begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    if (word.size() == net::kCurveKeyChars) return std::string(word);
    // A comment; '#' is a letter of Z85 too.
    text.remove_prefix(word[0] == '#' ? std::min(text.find('\n'), text.size()) : word.size());
  }
  return Fail(Errc::kInvalid, "holds no CURVE key of 40 characters in Z85");
}

Result<std::optional<net::ZmqCurve>> ReadCurve(const CommandLine& line, std::string* message) {
  const std::string* server = line.Find("server-key");
  const std::string* file = line.Find("key-file");
  if (server == nullptr && file == nullptr) return std::nullopt;
  if (server == nullptr) return WrongFlag("key-file", "needs --server-key too", message);
  if (server->size() != net::kCurveKeyChars) {
    return WrongFlag("server-key", "must be a key of 40 characters in Z85", message);
  }
  HR_TRY(net::CurveKeys own, OwnKeys(file, message));
  return net::ZmqCurve{std::move(own), *server};
}

Result<TailRequest> ReadTailRequest(const std::string& endpoint, const CommandLine& line,
                                    std::string* message) {
  TailRequest request;
  request.endpoint = endpoint;
  HR_RETURN_IF_ERROR(CheckEndpoint("ENDPOINT", endpoint, message));
  if (const std::string* text = line.Find("replay")) {
    HR_RETURN_IF_ERROR(CheckEndpoint("--replay", *text, message));
    request.replay_endpoint = *text;
  }
  if (const std::string* text = line.Find("topic")) request.topic_filter = *text;
  if (const std::string* text = line.Find("count")) {
    constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
    if (!ParseNumber(*text, kMost, &request.most_events) || request.most_events == 0) {
      return WrongFlag("count", "must be a whole number from 1 on", message);
    }
  }
  if (const std::string* text = line.Find("for")) {
    const auto time = ParseDuration(*text);
    if (!time) return WrongFlag("for", "must be a time; write for example 30s", message);
    request.time = *time;
  }
  HR_TRY(request.curve, ReadCurve(line, message));
  return request;
}

}  // namespace headrace::cli
