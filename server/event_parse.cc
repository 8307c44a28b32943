#include "server/event_parse.h"

#include <algorithm>

#include "wire/event.h"

namespace headrace::server {
namespace {

constexpr std::string_view kSnapshotWord = "snapshot";
constexpr size_t kMaxTopicBytes = 2048;
constexpr const char* kBlanks = " \t\r";

}  // namespace

// [peer, "", start], [peer, "", start, topic], [peer, "", "snapshot", topic].
Result<EventRequest> ParseEventRequest(const net::ZmqMessage& message) {
  if (message.size() < 3 || message.size() > 4 || message.truncated()) {
    return Fail(Errc::kInvalid, "a request has 2 or 3 frames");
  }
  if (!message.text(1).empty()) return Fail(Errc::kInvalid, "the first frame must be empty");
  EventRequest request;
  request.peer = message.text(0);
  request.one_topic = message.size() == 4;
  if (request.one_topic) request.topic = message.text(3);
  if (request.topic.size() > kMaxTopicBytes) return Fail(Errc::kInvalid, "the topic is too long");
  if (message.text(2) == kSnapshotWord) {
    if (!request.one_topic) return Fail(Errc::kInvalid, "a snapshot is of one topic");
    request.kind = EventRequest::Kind::kSnapshot;
    return request;
  }
  const auto start = wire::DecodeSequence(message[2]);
  if (!start) return Fail(Errc::kInvalid, "the second frame is no sequence of 8 bytes");
  request.start = *start;
  return request;
}

Result<std::vector<std::string>> ParseKeyList(std::string_view text) {
  std::vector<std::string> keys;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) continue;
    line.remove_prefix(begin);
    const std::string_view key = line.substr(0, line.find_first_of(kBlanks));
    // '#' is a letter of Z85 too: a comment is what does not have a key's length.
    if (line[0] == '#' && key.size() != net::kCurveKeyChars) continue;
    if (key.size() != net::kCurveKeyChars) {
      return Fail(Errc::kInvalid, "a line is no CURVE key of 40 characters in Z85");
    }
    keys.emplace_back(key);
  }
  return keys;
}

}  // namespace headrace::server
