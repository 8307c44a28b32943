#include "net/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/fd.h"
#include "base/log.h"
#include "net/address.h"
#include "net/http_session.h"

namespace headrace::net {
namespace {

constexpr size_t kScratchBytes = 64 * size_t{1024};
constexpr int kAcceptsPerTurn = 64;
constexpr size_t kMaxRefusals = 64;  // connections that are being told 503 at one time
constexpr Duration kAcceptPause = milliseconds(100);
constexpr Duration kLeastSweep = milliseconds(50), kMostSweep = milliseconds(500);

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
};

Result<Endpoint> EndpointOf(const HostPort& at) {
  Endpoint endpoint;
  const std::string host = at.host == "localhost" ? "127.0.0.1" : at.host;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&endpoint.address);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&endpoint.address);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(at.port);
    endpoint.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(at.port);
    endpoint.size = sizeof(*v6);
  } else {
    return Fail(Errc::kInvalid, "host is not an IP address or localhost");
  }
  return endpoint;
}

uint16_t PortOf(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

Result<Fd> ListenAt(const Endpoint& endpoint) {
  Fd fd(socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  if (!fd.valid() || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0 ||
      listen(fd.get(), SOMAXCONN) != 0) {
    return Fail(Errc::kIo, "cannot listen on the HTTP address", errno);
  }
  return fd;
}

std::string PlainErrorBody(int, std::string_view what) {
  return fmt::format("{{\"error\":\"{}\"}}\n", what);
}

class LoopServer final : public HttpServer {
 public:
  // `own` is `loop`, or null when the loop is the caller's.
  LoopServer(Loop* loop, std::unique_ptr<Loop> own, Fd listener, const HttpLimits& limits);
  ~LoopServer() override;

  void Handle(const std::string& method, const std::string& path, Handler handler) override {
    HR_CHECK(handler != nullptr);
    Add(method, path, {.now = std::move(handler), .later = nullptr, .exchange = nullptr});
  }
  void HandleAsync(const std::string& method, const std::string& path,
                   AsyncHandler handler) override {
    HR_CHECK(handler != nullptr);
    Add(method, path, {.now = nullptr, .later = std::move(handler), .exchange = nullptr});
  }
  void HandleExchange(const std::string& method, const std::string& path,
                      HttpExchangeHandler handler) override {
    HR_CHECK(handler != nullptr);
    Add(method, path, {.now = nullptr, .later = nullptr, .exchange = std::move(handler)});
  }
  void SetErrorBody(HttpErrorBody body) override {
    HR_CHECK(!started_);
    shared_.error_body = std::move(body);
  }
  void Start() override;
  uint16_t port() const override { return PortOf(listener_.get()); }

 private:
  void Add(const std::string& method, const std::string& path, HttpRoute route);
  void Listen();
  void Accept();
  bool AcceptOne();
  void Pause(int error);
  void Serve(Fd fd);
  void Forget(HttpSession* session);
  void Sweep();

  HttpRoutes routes_;
  const std::unique_ptr<Loop> own_loop_;
  Loop* const loop_;
  const Fd listener_;
  bool started_ = false;
  // The loop's thread's, as all below.
  HttpSession::Shared shared_;
  std::unordered_map<HttpSession*, std::shared_ptr<HttpSession>> sessions_;
  std::unordered_map<HttpSession*, std::shared_ptr<HttpSession>> refused_;
  bool accept_failed_ = false;  // said once a failure, not ten times a second
  uint64_t pause_ = 0;          // timers; 0: none
  uint64_t sweep_ = 0;
  std::thread thread_;
};

LoopServer::LoopServer(Loop* loop, std::unique_ptr<Loop> own, Fd listener, const HttpLimits& limits)
    : own_loop_(std::move(own)), loop_(loop), listener_(std::move(listener)) {
  shared_.loop = loop_;
  shared_.routes = &routes_;
  shared_.limits = limits;
  shared_.error_body = PlainErrorBody;
  shared_.mailbox = std::make_shared<HttpMailbox>(loop_);
  shared_.scratch.resize(kScratchBytes);
  shared_.forget = [this](HttpSession* session) { Forget(session); };
}

LoopServer::~LoopServer() {
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  shared_.mailbox->Close();
  for (auto* const all : {&sessions_, &refused_}) {
    for (auto& [session, owner] : std::exchange(*all, {})) session->Abandon();
  }
  loop_->Unwatch(listener_.get());
  loop_->CancelTimer(pause_);
  loop_->CancelTimer(sweep_);
}

void LoopServer::Add(const std::string& method, const std::string& path, HttpRoute route) {
  HR_CHECK(!started_);
  routes_.Add(method, path, std::move(route));
}

void LoopServer::Start() {
  HR_CHECK(!started_);
  started_ = true;
  Listen();
  if (own_loop_ == nullptr) return;
  // Signals are for the main thread: the new one starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "http");
    loop_->Run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void LoopServer::Listen() {
  const Status watched = loop_->Watch(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
  HR_CHECK(watched.has_value());
}

void LoopServer::Accept() {
  for (int i = 0; i < kAcceptsPerTurn && AcceptOne(); ++i) {
  }
}

// False: there is none, or none can be had now.
bool LoopServer::AcceptOne() {
  Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd.valid()) {
    accept_failed_ = false;
    Serve(std::move(fd));
    return true;
  }
  if (errno == ECONNABORTED || errno == EINTR) return true;
  if (errno != EAGAIN) Pause(errno);
  return false;
}

// Out of descriptors, most likely: others must close before another try can work.
void LoopServer::Pause(int error) {
  if (!accept_failed_) HR_WARN("cannot accept an HTTP connection: {}", std::strerror(error));
  accept_failed_ = true;
  loop_->Unwatch(listener_.get());
  pause_ = loop_->At(loop_->now() + kAcceptPause, [this] { Listen(); });
}

void LoopServer::Serve(Fd fd) {
  const int one = 1;
  static_cast<void>(setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
  const bool refuse = sessions_.size() >= shared_.limits.max_connections;
  if (refuse && refused_.size() >= kMaxRefusals) return;
  const auto session = std::make_shared<HttpSession>(std::move(fd), &shared_);
  (refuse ? refused_ : sessions_).emplace(session.get(), session);
  if (!session->Start()) return;
  if (refuse) session->Refuse(503, "too many connections");
  if (sweep_ == 0) Sweep();
}

void LoopServer::Forget(HttpSession* session) {
  if (sessions_.erase(session) == 0) refused_.erase(session);
}

void LoopServer::Sweep() {
  sweep_ = 0;
  const Time now = loop_->now();
  for (const auto* const all : {&sessions_, &refused_}) {
    for (auto it = all->begin(); it != all->end();) {
      const std::shared_ptr<HttpSession> session = (it++)->second;  // it may go
      session->CloseIfLate(now);
    }
  }
  if (sessions_.empty() && refused_.empty()) return;
  const Duration eighth = seconds(shared_.limits.idle_seconds) / 8;
  sweep_ = loop_->At(now + std::clamp(eighth, kLeastSweep, kMostSweep), [this] { Sweep(); });
}

Result<std::unique_ptr<HttpServer>> Open(Loop* loop, const std::string& address,
                                         const HttpLimits& limits) {
  HR_TRY(HostPort parsed, ParseHostPort(address));
  HR_TRY(Endpoint endpoint, EndpointOf(parsed));
  HR_TRY(Fd listener, ListenAt(endpoint));
  std::unique_ptr<Loop> own;
  if (loop == nullptr) {
    HR_TRY(own, Loop::Create());
    loop = own.get();
  }
  return std::unique_ptr<HttpServer>(
      std::make_unique<LoopServer>(loop, std::move(own), std::move(listener), limits));
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& address,
                                                       HttpLimits limits) {
  return Open(nullptr, address, limits);
}

Result<std::unique_ptr<HttpServer>> HttpServer::ListenOn(Loop* loop, const std::string& address,
                                                         HttpLimits limits) {
  return Open(loop, address, limits);
}

}  // namespace headrace::net
