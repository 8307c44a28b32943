#include "net/client_stream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/log.h"

namespace headrace::net {
namespace {

constexpr size_t kReadBytes = 64 * size_t{1024};
constexpr int kReadsPerTurn = 16;  // then the loop's other descriptors have their turn

struct SocketAddress {
  int family = AF_UNSPEC;
  sockaddr_storage storage{};
  socklen_t length = 0;
};

std::vector<SocketAddress> Resolve(const std::string& host, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  std::vector<SocketAddress> addresses;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    SocketAddress address;
    if (info->ai_addrlen > sizeof(address.storage)) continue;
    address.family = info->ai_family;
    address.length = info->ai_addrlen;
    std::memcpy(&address.storage, info->ai_addr, info->ai_addrlen);
    addresses.push_back(address);
  }
  freeaddrinfo(found);
  return addresses;
}

// Set once by the stream, asked by the thread that looks a name up and by what was posted.
struct Life {
  std::mutex mutex;
  Loop* loop = nullptr;  // by mutex; null: the stream is gone
};

class SocketStream final : public ClientStream {
 public:
  SocketStream(Loop* loop, TlsContext* tls, Handler handler)
      : loop_(loop), tls_(tls), handler_(std::move(handler)) {
    life_->loop = loop;
  }
  ~SocketStream() override {
    CloseSocket();
    std::lock_guard lock(life_->mutex);
    life_->loop = nullptr;
  }

  void Start(const StreamTarget& target);
  void Send(std::string_view bytes) override;
  void Stop() override {
    closed_ = true;
    CloseSocket();
  }

 private:
  // Runs `work` in a later turn, unless the stream is gone by then.
  void Later(std::function<void()> work) {
    loop_->Post([life = life_, work = std::move(work)] {
      if (life->loop != nullptr) work();
    });
  }
  void LookUp(const StreamTarget& target);
  void TryNext();
  Status Dial(const SocketAddress& address);
  void OnSocket(uint32_t events);
  void OnConnected();
  bool Read();
  bool Take(std::string_view bytes);
  void Fill();
  void Close(const Error& error);
  void CloseSocket() {
    if (!fd_.valid()) return;
    loop_->Unwatch(fd_.get());
    fd_.Reset();
  }

  Loop* const loop_;
  TlsContext* const tls_;
  const Handler handler_;
  const std::shared_ptr<Life> life_ = std::make_shared<Life>();
  std::string host_;

  Fd fd_;
  std::vector<SocketAddress> addresses_;  // still to try
  Error last_{Errc::kUnavailable, 0, "the host has no address"};
  std::unique_ptr<TlsSession> session_;
  bool connected_ = false, opened_ = false, closed_ = false;
  bool watching_out_ = false, write_due_ = false;
  std::string out_;  // for the wire; `sent_` of it are gone
  size_t sent_ = 0;
  std::string plain_;
};

void SocketStream::Start(const StreamTarget& target) {
  host_ = target.host;
  if (target.host.empty()) {
    SocketAddress address;
    auto* to = reinterpret_cast<sockaddr_un*>(&address.storage);
    address.family = to->sun_family = AF_UNIX;
    address.length = sizeof(sockaddr_un);
    if (target.path.size() < sizeof(to->sun_path)) {
      std::memcpy(to->sun_path, target.path.c_str(), target.path.size() + 1);
      addresses_.push_back(address);
    } else {
      last_ = {Errc::kInvalid, 0, "the path of a socket is too long"};
    }
    Later([this] {
      if (!closed_) TryNext();
    });
    return;
  }
  addresses_ = Resolve(target.host, target.port, AI_NUMERICHOST);
  if (addresses_.empty()) {
    LookUp(target);
  } else {
    Later([this] {
      if (!closed_) TryNext();
    });
  }
}

void SocketStream::LookUp(const StreamTarget& target) {
  // It may outlive the stream: it ends when the resolver gives up.
  std::thread([this, life = life_, target] {
    std::vector<SocketAddress> found = Resolve(target.host, target.port, AI_ADDRCONFIG);
    std::lock_guard lock(life->mutex);
    if (life->loop == nullptr) return;
    life->loop->Post([this, life, found = std::move(found)] {
      if (life->loop == nullptr || closed_) return;
      addresses_ = found;
      TryNext();
    });
  }).detach();
}

void SocketStream::TryNext() {
  while (!addresses_.empty()) {
    const SocketAddress address = addresses_.front();
    addresses_.erase(addresses_.begin());
    if (auto status = Dial(address); !status) {
      last_ = status.error();
    } else {
      return;
    }
  }
  Close(last_);
}

Status SocketStream::Dial(const SocketAddress& address) {
  fd_ = Fd(socket(address.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_.valid()) return Fail(Errc::kIo, "cannot create a socket", errno);
  if (address.family != AF_UNIX) {
    const int on = 1;  // a request never waits for the acknowledgement of another
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  }
  const auto* to = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(fd_.get(), to, address.length) != 0 && errno != EINPROGRESS) {
    const int error = errno;
    fd_.Reset();
    return Fail(Errc::kUnavailable, "cannot connect", error);
  }
  watching_out_ = true;
  return loop_->Watch(fd_.get(), EPOLLIN | EPOLLOUT, [this](uint32_t events) { OnSocket(events); });
}

void SocketStream::OnSocket(uint32_t events) {
  if (!connected_) {
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      CloseSocket();
      last_ = {Errc::kUnavailable, error, "cannot connect"};
      TryNext();
      return;
    }
    OnConnected();
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !Read()) return;
  if ((events & EPOLLOUT) != 0) Fill();
}

void SocketStream::OnConnected() {
  connected_ = true;
  addresses_.clear();
  if (tls_ == nullptr) {
    opened_ = true;
    Fill();
    handler_.opened();
    return;
  }
  auto session = tls_->Connect(host_);
  if (!session) {
    Close(session.error());
    return;
  }
  session_ = std::move(*session);
  Take({});
}

// False: closed.
bool SocketStream::Read() {
  std::array<char, kReadBytes> buffer;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) {
      Close(got == 0 ? Error{Errc::kGone, 0, "the server closed the connection"}
                     : Error{Errc::kGone, errno, "the connection broke"});
      return false;
    }
    if (!Take({buffer.data(), static_cast<size_t>(got)})) return false;
    if (static_cast<size_t>(got) < buffer.size()) return true;
  }
  return true;
}

// Bytes of the wire. False: closed.
bool SocketStream::Take(std::string_view bytes) {
  if (session_ == nullptr) {
    handler_.received(bytes);
    return !closed_;
  }
  plain_.clear();
  Status status = session_->Receive(bytes, &plain_, &out_);
  Fill();
  if (!opened_ && session_->open()) {
    opened_ = true;
    handler_.opened();
  }
  if (!plain_.empty() && !closed_) handler_.received(plain_);
  if (closed_) return false;
  if (!status) {
    Close(status.error());
    return false;
  }
  return true;
}

void SocketStream::Send(std::string_view bytes) {
  HR_CHECK(opened_);
  if (closed_) return;
  if (session_ == nullptr) {
    out_.append(bytes);
  } else if (auto status = session_->Send(bytes, &out_); !status) {
    const Error error = status.error();
    Later([this, error] { Close(error); });
    return;
  }
  if (write_due_ || watching_out_) return;
  write_due_ = true;
  Later([this] {
    write_due_ = false;
    Fill();
  });
}

// Gives the socket what it takes, and asks to be called again for the rest. A connection that
// broke is found by the next read.
void SocketStream::Fill() {
  if (closed_) return;
  while (sent_ < out_.size()) {
    const ssize_t sent = ::send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0) break;
    sent_ += static_cast<size_t>(sent);
  }
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
  }
  const bool want_out = !out_.empty();
  if (want_out == watching_out_) return;
  watching_out_ = want_out;
  auto status = loop_->Rearm(fd_.get(), want_out ? EPOLLIN | EPOLLOUT : EPOLLIN);
  if (!status) HR_WARN("{} (errno {})", status.error().what, status.error().os);
}

void SocketStream::Close(const Error& error) {
  if (closed_) return;
  closed_ = true;
  CloseSocket();
  handler_.closed(error);
}

}  // namespace

std::unique_ptr<ClientStream> ClientStream::Connect(Loop* loop, const StreamTarget& target,
                                                    TlsContext* tls, Handler handler) {
  HR_CHECK(loop != nullptr && handler.opened && handler.received && handler.closed);
  auto stream = std::make_unique<SocketStream>(loop, tls, std::move(handler));
  stream->Start(target);
  return stream;
}

}  // namespace headrace::net
