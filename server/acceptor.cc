#include "server/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace headrace::server {
namespace {

constexpr Duration kPause = milliseconds(100);
constexpr int kAcceptsPerTurn = 16;

Peer LocalPeer(int fd) {
  ucred credentials{};
  socklen_t bytes = sizeof(credentials);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return {};
  return {.local = true, .uid = credentials.uid, .pid = credentials.pid};
}

void SetTcpOptions(int fd) {
  const int on = 1;
  // Failure costs latency or a late hang-up, never correctness.
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

bool OutOfDescriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(Loop* loop, Arrived arrived) : loop_(loop), arrived_(std::move(arrived)) {
  HR_CHECK(loop_ != nullptr && arrived_ != nullptr);
}

Acceptor::~Acceptor() {
  Close();
}

Status Acceptor::Add(Fd listener, bool local) {
  HR_CHECK(listener.valid());
  listeners_.push_back({std::move(listener), local, 0});
  return Watch(listeners_.size() - 1);
}

void Acceptor::Close() {
  for (Listener& listener : listeners_) {
    if (listener.resume_timer != 0) {
      loop_->CancelTimer(listener.resume_timer);
    } else {
      loop_->Unwatch(listener.fd.get());
    }
  }
  listeners_.clear();
}

Status Acceptor::Watch(size_t index) {
  return loop_->Watch(listeners_[index].fd.get(), EPOLLIN,
                      [this, index](uint32_t) { Accept(index); });
}

void Acceptor::Accept(size_t index) {
  HR_CHECK(index < listeners_.size());
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Fd fd(::accept4(listeners_[index].fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      if (OutOfDescriptors(errno)) Pause(index);
      return;
    }
    const bool local = listeners_[index].local;
    if (!local) SetTcpOptions(fd.get());
    const Peer peer = local ? LocalPeer(fd.get()) : Peer{};
    arrived_(std::move(fd), peer);
  }
}

void Acceptor::Pause(size_t index) {
  HR_WARN("accepting connections pauses: {} (raise the limit of open files)", std::strerror(errno));
  ++pauses_;
  loop_->Unwatch(listeners_[index].fd.get());
  listeners_[index].resume_timer = loop_->At(loop_->now() + kPause, [this, index] {
    listeners_[index].resume_timer = 0;
    if (!Watch(index)) HR_ERROR("a listening socket cannot be watched any more");
  });
}

}  // namespace headrace::server
