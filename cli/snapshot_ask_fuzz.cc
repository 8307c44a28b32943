// Whatever a publisher answers, it is read or refused.
#include "cli/snapshot_ask.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  // The first bytes say how long the frames are; what is left is the payload.
  const std::span<const uint8_t> rest(data + 2, size - 2);
  const size_t first = std::min<size_t>(data[0] % 12, rest.size());
  const size_t frames = data[1] % 6;
  net::ZmqMessage message;
  if (frames > 0) message.Add({});
  if (frames > 1) message.Add(rest.first(0));
  if (frames > 2) message.Add(rest.first(first));
  if (frames > 3) message.Add(rest.subspan(first));
  if (frames > 4) message.Add(rest);
  cli::SnapshotReader reader;
  const bool taken = reader.Take(message).has_value();
  HR_CHECK(taken || (!reader.done() && reader.blocks().empty()));
  HR_CHECK(!taken || frames == 4);
  return 0;
}
