// Any byte stream, in any pieces, with and without descriptors: frames come out or a clean error.
#include <cstdint>
#include <string>

#include "server/frame_reader.h"
#include "server/test_doubles.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using headrace::server::FrameReader;
  constexpr uint32_t kMaxFrame = 4096;
  constexpr size_t kMaxPieces = 64;
  const headrace::server::SocketPair sockets;
  FrameReader reader(kMaxFrame, 2);
  size_t given = 0;
  for (size_t piece = 0; size > 1 && piece < kMaxPieces; ++piece) {
    // The first byte of a piece says how long it is and whether descriptors come along.
    const size_t length = std::min<size_t>(size - 1, data[0] & 0x7f);
    const std::string bytes(reinterpret_cast<const char*>(data) + 1, length);
    if (length != 0 && (data[0] & 0x80) != 0) {
      sockets.SendWith(bytes, {0, 0, 0});
    } else if (length != 0) {
      sockets.Send(bytes);
    }
    data += 1 + length;
    size -= 1 + length;
    if (reader.HasFrame()) return 0;
    (void)reader.Read(sockets.server.get());
    while (reader.HasFrame()) {
      const auto frame = reader.Next();
      if (!frame) return 0;  // longer than allowed: the server closes the stream
      HR_CHECK(*frame && (*frame)->size() <= kMaxFrame);
      HR_CHECK(reader.TakeDescriptors().size() <= 2);
      given += (*frame)->size();
    }
  }
  HR_CHECK(given <= kMaxPieces * 128);
  return 0;
}
