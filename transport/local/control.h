// What a server tells its mover process over a SOCK_SEQPACKET pair, with descriptors in SCM_RIGHTS:
// the rings, pool regions, engine buffers. One message is one packet: ControlHead, then a layout's
// layer offsets as u64. Both programs are built together; a version in the first message says when
// they were not. No answers: a mover that cannot do what it is told ends, or fails the jobs.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "transport/local/buffer.h"
#include "wire/copy.h"

namespace headrace::transport {

enum class ControlKind : uint32_t { kStart = 1, kAddRegion = 2, kAddBuffer = 3, kDropBuffer = 4 };

inline constexpr size_t kControlFds = 4;

// A message as its sender states it; descriptors are borrowed, -1: none.
struct ControlMessage {
  ControlKind kind = ControlKind::kStart;
  uint32_t version = 0;       // kStart
  uint32_t threads = 0;       // kStart
  uint64_t chunk_bytes = 0;   // kStart
  wire::BufferId buffer = 0;  // kAddBuffer, kDropBuffer
  int32_t pid = 0;            // kAddBuffer
  uint64_t offset = 0;        // kAddBuffer
  uint64_t bytes = 0;         // kAddRegion, kAddBuffer
  uint64_t gate_bytes = 0;    // kAddBuffer
  wire::Layout layout;        // kAddBuffer
  // kStart: rings, wake, done. kAddRegion: file. kAddBuffer: file, process, gates, session.
  std::array<int, kControlFds> fds{-1, -1, -1, -1};
};

struct ReceivedControl {
  ControlMessage message;  // its fds are not set
  std::array<Fd, kControlFds> fds;
};

ControlMessage MessageOf(const BufferImport& import);
BufferImport ImportOf(ReceivedControl received);  // REQUIRES: kind is kAddBuffer

// kLimit when the socket has no room now; kGone when the peer hung up.
Status SendControl(int socket, const ControlMessage& message);
// Waits for one message. kGone when the peer hung up, kCorrupt when it is none.
Result<ReceivedControl> ReceiveControl(int socket);

}  // namespace headrace::transport
