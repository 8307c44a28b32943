#include "client/link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "wire/control.h"

namespace headrace::client {
namespace {

constexpr size_t kInputBytes = 64u << 10;
constexpr int kSocketBufferBytes = 1 << 20;
constexpr size_t kMaxDescriptors = wire::kMaxBuffers + 1;  // and the gate page
constexpr size_t kLengthBytes = 4;

bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

Link::Link(Fd fd) : fd_(std::move(fd)), input_(kInputBytes) {
  HR_CHECK(fd_.valid());
}

Result<std::shared_ptr<Link>> Link::Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  HR_CHECK(path.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Fail(Errc::kIo, "socket", errno);
  // A hint: the kernel may give less, and large frames then leave in several pieces.
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof(int));
  int rc;
  do {
    rc = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return Fail(Errc::kUnavailable, "connect", errno);
  return std::make_shared<Link>(std::move(fd));
}

Status Link::SendOrQueue(std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n =
        ::send(fd_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (WouldBlock(errno)) {
      queue_.append(bytes.substr(done));
      return {};
    } else if (errno != EINTR) {
      return Fail(Errc::kUnavailable, "send", errno);
    }
  }
  return {};
}

Status Link::Send(std::string_view frames) {
  if (queue_.size() - sent_ >= kMaxQueuedBytes)
    return Fail(Errc::kLimit, "the server does not read");
  if (!queued()) return SendOrQueue(frames);
  queue_.append(frames);
  return Flush();
}

Status Link::SendWithDescriptors(std::string_view frames, std::span<const int> descriptors) {
  HR_CHECK(!queued() && !frames.empty() && descriptors.size() <= kMaxDescriptors);
  if (descriptors.empty()) return SendOrQueue(frames);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)] = {};
  iovec io{const_cast<char*>(frames.data()), frames.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  ssize_t n;
  do {
    n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Fail(Errc::kUnavailable, "sendmsg with descriptors", errno);
  return SendOrQueue(frames.substr(static_cast<size_t>(n)));
}

Status Link::Flush() {
  while (queued()) {
    const ssize_t n = ::send(fd_.get(), queue_.data() + sent_, queue_.size() - sent_,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent_ += static_cast<size_t>(n);
    } else if (WouldBlock(errno)) {
      break;
    } else if (errno != EINTR) {
      return Fail(Errc::kUnavailable, "send", errno);
    }
  }
  if (!queued()) {
    queue_.clear();
    sent_ = 0;
  } else if (sent_ >= kMaxQueuedBytes) {
    queue_.erase(0, sent_);
    sent_ = 0;
  }
  return {};
}

bool Link::Receive() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == input_.size()) {
    std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    // Grows as bytes really come, never by what a length claims.
    if (end_ > input_.size() / 2) input_.resize(input_.size() * 2);
  }
  const size_t room = input_.size() - end_;
  HR_CHECK(room > 0);
  ssize_t n;
  do {
    n = ::recv(fd_.get(), input_.data() + end_, room, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && WouldBlock(errno)) return false;
  if (n <= 0) {  // a reset is a hang-up too
    hung_up_ = true;
    return false;
  }
  end_ += static_cast<size_t>(n);
  return static_cast<size_t>(n) == room;
}

Result<std::span<const uint8_t>> Link::NextFrame() {
  const std::span<const uint8_t> bytes(input_.data() + begin_, end_ - begin_);
  HR_TRY(const uint32_t length, wire::PeekFrame(bytes, wire::kMaxFrameBytes));
  if (length == wire::kNoFrame || bytes.size() - kLengthBytes < length) {
    return std::span<const uint8_t>();
  }
  begin_ += kLengthBytes + length;
  return bytes.subspan(kLengthBytes, length);
}

void Link::EndSending() {
  queue_.clear();
  sent_ = 0;
  (void)::shutdown(fd_.get(), SHUT_WR);  // fails only when the peer is gone, which is as good
}

bool Link::PeerGone() const {
  pollfd entry{fd_.get(), 0, 0};
  return ::poll(&entry, 1, 0) == 1 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace headrace::client
