// Any request and any key file is parsed or refused; what is parsed keeps its promises. The first
// byte says how many frames there are; each frame begins with its length.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "server/event_parse.h"

using headrace::server::EventRequest;

namespace {

void ParseRequest(std::span<const uint8_t> data) {
  headrace::net::ZmqMessage message;
  const size_t frames = data[0] % (headrace::net::ZmqMessage::kMaxFrames + 1);
  data = data.subspan(1);
  while (message.size() < frames && !data.empty()) {
    const size_t size = std::min<size_t>(data[0], data.size() - 1);
    message.Add(data.subspan(1, size));
    data = data.subspan(1 + size);
  }
  const auto request = headrace::server::ParseEventRequest(message);
  if (!request) return;
  HR_CHECK(message.size() == 3 || message.size() == 4);
  HR_CHECK(request->peer == message.text(0) && message.text(1).empty());
  if (request->kind == EventRequest::Kind::kSnapshot) HR_CHECK(request->one_topic);
  if (request->one_topic) HR_CHECK(request->topic == message.text(3));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ParseRequest({data, size});
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto keys = headrace::server::ParseKeyList(text);
  if (!keys) return 0;
  for (const std::string& key : *keys) {
    HR_CHECK(key.size() == headrace::net::kCurveKeyChars);
    HR_CHECK(text.find(key) != std::string_view::npos);
  }
  return 0;
}
