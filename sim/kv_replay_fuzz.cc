// Any message is parsed or refused; what is parsed keeps its promises. The first byte says how many
// frames there are; each frame begins with its length.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sim/kv_replay.h"
#include "wire/event.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  std::span<const uint8_t> data(bytes, size);
  headrace::net::ZmqMessage message;
  const size_t frames = data[0] % (headrace::net::ZmqMessage::kMaxFrames + 1);
  data = data.subspan(1);
  while (message.size() < frames && !data.empty()) {
    const size_t length = std::min<size_t>(data[0], data.size() - 1);
    message.Add(data.subspan(1, length));
    data = data.subspan(1 + length);
  }
  const auto request = headrace::sim::ParseKvReplayRequest(message);
  if (!request) return 0;
  HR_CHECK(message.size() == 3 && message.text(1).empty());
  HR_CHECK(request->peer == message.text(0));
  HR_CHECK(headrace::wire::EncodeSequence(request->start) == message.text(2));
  return 0;
}
