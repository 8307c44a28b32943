#include "transport/local/control.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

namespace headrace::transport {
namespace {

constexpr uint32_t kMagic = 0x48524d56;  // "VMRH"

struct ControlHead {
  uint32_t magic = kMagic;
  uint32_t kind = 0;
  uint32_t version = 0;
  uint32_t threads = 0;
  uint64_t chunk_bytes = 0;
  uint32_t buffer = 0;
  int32_t pid = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t gate_bytes = 0;
  uint64_t num_blocks = 0;
  uint64_t segment_bytes = 0;
  uint64_t block_stride = 0;
  uint64_t part_stride = 0;
  uint32_t parts = 0;
  uint32_t layers = 0;
  uint32_t fd_mask = 0;  // which of the four descriptors follow, in order
  uint32_t reserved = 0;
};

constexpr size_t kMaxMessage = sizeof(ControlHead) + wire::kMaxLayers * sizeof(uint64_t);

ControlHead HeadOf(const ControlMessage& message) {
  ControlHead head;
  head.kind = static_cast<uint32_t>(message.kind);
  head.version = message.version;
  head.threads = message.threads;
  head.chunk_bytes = message.chunk_bytes;
  head.buffer = message.buffer;
  head.pid = message.pid;
  head.offset = message.offset;
  head.bytes = message.bytes;
  head.gate_bytes = message.gate_bytes;
  head.num_blocks = message.layout.num_blocks;
  head.segment_bytes = message.layout.segment_bytes;
  head.block_stride = message.layout.block_stride;
  head.part_stride = message.layout.part_stride;
  head.parts = message.layout.parts;
  head.layers = message.layout.num_layers();
  for (size_t i = 0; i < kControlFds; ++i) {
    if (message.fds[i] >= 0) head.fd_mask |= 1u << i;
  }
  return head;
}

ControlMessage MessageFrom(const ControlHead& head, const uint8_t* layers) {
  ControlMessage message;
  message.kind = static_cast<ControlKind>(head.kind);
  message.version = head.version;
  message.threads = head.threads;
  message.chunk_bytes = head.chunk_bytes;
  message.buffer = head.buffer;
  message.pid = head.pid;
  message.offset = head.offset;
  message.bytes = head.bytes;
  message.gate_bytes = head.gate_bytes;
  message.layout.num_blocks = head.num_blocks;
  message.layout.segment_bytes = head.segment_bytes;
  message.layout.block_stride = head.block_stride;
  message.layout.part_stride = head.part_stride;
  message.layout.parts = head.parts;
  for (uint32_t i = 0; i < head.layers; ++i) {
    uint64_t offset = 0;
    std::memcpy(&offset, layers + i * sizeof offset, sizeof offset);
    message.layout.layer_offsets.push_back(offset);
  }
  return message;
}

union FdSpace {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int) * kControlFds)];
};

size_t PackFds(const ControlMessage& message, FdSpace* space, msghdr* header) {
  std::array<int, kControlFds> fds{};
  size_t count = 0;
  for (int fd : message.fds) {
    if (fd >= 0) fds[count++] = fd;
  }
  if (count == 0) return 0;
  header->msg_control = space->bytes;
  header->msg_controllen = CMSG_SPACE(sizeof(int) * count);
  cmsghdr* control = CMSG_FIRSTHDR(header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof(int) * count);
  std::memcpy(CMSG_DATA(control), fds.data(), sizeof(int) * count);
  return count;
}

// Owns every descriptor that came, whatever else is wrong with the message.
std::vector<Fd> UnpackFds(msghdr* header) {
  std::vector<Fd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(header); control != nullptr;
       control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

Result<ReceivedControl> Parse(std::span<const uint8_t> bytes, std::vector<Fd> fds) {
  ControlHead head;
  if (bytes.size() < sizeof head) return Fail(Errc::kCorrupt, "control message is cut");
  std::memcpy(&head, bytes.data(), sizeof head);
  const bool whole = head.layers <= wire::kMaxLayers &&
                     bytes.size() == sizeof head + head.layers * sizeof(uint64_t);
  if (head.magic != kMagic || !whole) return Fail(Errc::kCorrupt, "not a control message");
  ReceivedControl received{MessageFrom(head, bytes.data() + sizeof head), {}};
  size_t next = 0;
  for (size_t i = 0; i < kControlFds; ++i) {
    if ((head.fd_mask >> i & 1) == 0) continue;
    if (next == fds.size()) return Fail(Errc::kCorrupt, "control message lacks a descriptor");
    received.fds[i] = std::move(fds[next++]);
  }
  return received;
}

}  // namespace

ControlMessage MessageOf(const BufferImport& import) {
  ControlMessage message;
  message.kind = ControlKind::kAddBuffer;
  message.buffer = import.id;
  message.pid = import.pid;
  message.offset = import.offset;
  message.bytes = import.bytes;
  message.gate_bytes = import.gate_bytes;
  message.layout = import.layout;
  message.fds = {import.file.get(), import.process.get(), import.gates.get(), import.session.get()};
  return message;
}

BufferImport ImportOf(ReceivedControl received) {
  HR_CHECK(received.message.kind == ControlKind::kAddBuffer);
  BufferImport import;
  import.id = received.message.buffer;
  import.pid = received.message.pid;
  import.offset = received.message.offset;
  import.bytes = received.message.bytes;
  import.gate_bytes = received.message.gate_bytes;
  import.layout = std::move(received.message.layout);
  import.file = std::move(received.fds[0]);
  import.process = std::move(received.fds[1]);
  import.gates = std::move(received.fds[2]);
  import.session = std::move(received.fds[3]);
  return import;
}

Status SendControl(int socket, const ControlMessage& message) {
  HR_CHECK(message.layout.num_layers() <= wire::kMaxLayers);
  ControlHead head = HeadOf(message);
  std::array<iovec, 2> parts{iovec{&head, sizeof head},
                             iovec{const_cast<uint64_t*>(message.layout.layer_offsets.data()),
                                   message.layout.layer_offsets.size() * sizeof(uint64_t)}};
  FdSpace space{};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  PackFds(message, &space, &header);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {};
  // ETOOMANYREFS: too many descriptors on their way; they arrive, and then there is room.
  const bool later = errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS;
  return Fail(later ? Errc::kLimit : Errc::kGone, "telling the mover process", errno);
}

Result<ReceivedControl> ReceiveControl(int socket) {
  std::vector<uint8_t> bytes(kMaxMessage);
  iovec part{bytes.data(), bytes.size()};
  FdSpace space{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = space.bytes;
  header.msg_controllen = sizeof space.bytes;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  const int error = errno;
  std::vector<Fd> fds = UnpackFds(&header);
  if (got < 0) return Fail(Errc::kGone, "receiving from the server", error);
  if (got == 0) return Fail(Errc::kGone, "the server hung up");
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Fail(Errc::kCorrupt, "control message is cut");
  }
  return Parse(std::span(bytes).first(static_cast<size_t>(got)), std::move(fds));
}

}  // namespace headrace::transport
