#include "net/zmq.h"

#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"

namespace headrace::net {
namespace {

constexpr const char* kZapEndpoint = "inproc://zeromq.zap.01";  // named by RFC 27
constexpr const char* kZapDomain = "headrace";
constexpr size_t kKeyBytes = 32;
constexpr int kMonitored = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                           ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

// The number of one failed call, before another changes it.
tl::unexpected<Error> Failed(const char* what) {
  const int error = zmq_errno();
  if (error == EINVAL || error == EPROTONOSUPPORT) return Fail(Errc::kInvalid, what, error);
  return Fail(Errc::kIo, what, error);
}

int Millis(Duration duration) {
  const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return static_cast<int>(std::clamp<int64_t>(count, 0, INT32_MAX));
}

int ReceiveFrame(void* socket, zmq_msg_t* frame, int flags) {
  int size = -1;
  do {
    size = zmq_msg_recv(frame, socket, flags);
  } while (size < 0 && zmq_errno() == EINTR);
  return size;
}

std::span<const uint8_t> View(zmq_msg_t* frame) {
  return {static_cast<const uint8_t*>(zmq_msg_data(frame)), zmq_msg_size(frame)};
}

// One message, all its frames. -1 with zmq_errno when there is none.
int ReceiveMessage(void* socket, ZmqMessage* message, int flags) {
  message->Clear();
  zmq_msg_t frame;
  zmq_msg_init(&frame);
  int more = 1;
  int result = 0;
  while (more != 0) {
    // Frames of a message arrive together: once the first is there none blocks.
    result = ReceiveFrame(socket, &frame, flags);
    if (result < 0) break;
    if (message->size() < ZmqMessage::kMaxFrames) {
      message->Add(View(&frame));
    } else {
      message->SetTruncated();
    }
    more = zmq_msg_more(&frame);
  }
  zmq_msg_close(&frame);
  return result;
}

int SendFrames(void* socket, std::span<const std::span<const uint8_t>> frames) {
  for (size_t i = 0; i < frames.size(); ++i) {
    const int more = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
    int sent = -1;
    do {
      sent = zmq_send(socket, frames[i].data(), frames[i].size(), ZMQ_DONTWAIT | more);
    } while (sent < 0 && zmq_errno() == EINTR);
    if (sent < 0) {
      // Whether there is room is decided with the first frame.
      HR_CHECK(i == 0 || zmq_errno() != EAGAIN);
      return -1;
    }
  }
  return 0;
}

// Ended by the last socket or the context object, whichever is later. Answers, on its own thread,
// which clients may come in (ZAP, RFC 27).
class Handle {
 public:
  explicit Handle(void* context) : context_(context) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (door_.joinable()) {
      zmq_ctx_shutdown(context_);  // its recv returns ETERM
      door_.join();
    }
    while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
    }
  }

  void* get() const { return context_; }
  bool guarded() const { return door_.joinable(); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  Status Guard(std::set<std::string> allowed);

 private:
  void ServeDoor(void* socket);

  void* const context_;
  std::set<std::string> allowed_;  // set once, before the thread
  std::thread door_;
  std::atomic<uint64_t> refused_ = 0;
};

Status Handle::Guard(std::set<std::string> allowed) {
  HR_CHECK(!door_.joinable());
  void* const socket = zmq_socket(context_, ZMQ_REP);
  if (socket == nullptr) return Failed("cannot open the socket that lets clients in");
  const int none = 0;
  zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
  if (zmq_bind(socket, kZapEndpoint) != 0) {
    auto failed = Failed("cannot bind the socket that lets clients in");
    zmq_close(socket);
    return failed;
  }
  allowed_ = std::move(allowed);
  door_ = std::thread([this, socket] { ServeDoor(socket); });
  return {};
}

// [version, request, domain, address, identity, mechanism, key] -> [version, request, code, text,
// user, metadata].
void Handle::ServeDoor(void* socket) {
  ZmqMessage request;
  while (ReceiveMessage(socket, &request, 0) >= 0) {
    if (request.size() < 2) continue;
    const bool known = request.size() >= 7 && request.text(0) == "1.0" &&
                       request.text(5) == "CURVE" && request[6].size() == kKeyBytes &&
                       allowed_.contains(std::string(request.text(6)));
    if (!known) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      if (request.size() >= 4) HR_WARN("a client at {} has no key of ours", request.text(3));
    }
    const std::array<std::span<const uint8_t>, 6> reply = {request[0],
                                                           request[1],
                                                           ZmqBytes(known ? "200" : "400"),
                                                           ZmqBytes(known ? "" : "unknown key"),
                                                           ZmqBytes(""),
                                                           ZmqBytes("")};
    if (SendFrames(socket, reply) != 0) break;
  }
  zmq_close(socket);
}

// Closed with the object; null when it could not be made.
struct Closer {
  void operator()(void* socket) const { zmq_close(socket); }
};
using RawSocket = std::unique_ptr<void, Closer>;

bool HasEvent(void* socket) {
  int events = 0;
  size_t size = sizeof(events);
  return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

int DescriptorOf(void* socket) {
  int fd = -1;
  size_t size = sizeof(fd);
  const int got = zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
  HR_CHECK(got == 0);
  return fd;
}

// Numbers of version 4 stay such: with version 6 allowed they would come back in its clothes.
bool MayBeVersion6(const std::string& endpoint) {
  const size_t host = endpoint.find("://") + 3;
  return endpoint.find_first_not_of("0123456789.:", host) != std::string::npos;
}

class LibSocket final : public ZmqSocket {
 public:
  LibSocket(std::shared_ptr<Handle> context, RawSocket socket)
      : context_(std::move(context)), socket_(std::move(socket)) {}

  Status Configure(ZmqType type, const ZmqOptions& options);

  Status Bind(const std::string& endpoint) override {
    HR_RETURN_IF_ERROR(SetInt(ZMQ_IPV6, endpoint.find('[') != std::string::npos ? 1 : 0));
    if (zmq_bind(socket_.get(), endpoint.c_str()) != 0) return Failed("cannot bind the endpoint");
    return {};
  }
  Status Connect(const std::string& endpoint) override {
    HR_RETURN_IF_ERROR(SetInt(ZMQ_IPV6, MayBeVersion6(endpoint) ? 1 : 0));
    if (zmq_connect(socket_.get(), endpoint.c_str()) != 0) return Failed("no endpoint to dial");
    return {};
  }
  Status Disconnect(const std::string& endpoint) override {
    if (zmq_disconnect(socket_.get(), endpoint.c_str()) == 0) return {};
    return Fail(Errc::kNotFound, "the endpoint is not connected", zmq_errno());
  }
  std::string endpoint() const override;
  Status Subscribe(std::string_view prefix) override {
    return Set(ZMQ_SUBSCRIBE, prefix.data(), prefix.size());
  }

  Status Send(std::span<const std::span<const uint8_t>> frames) override;
  Result<bool> Receive(ZmqMessage* message) override;
  int fd() const override { return DescriptorOf(socket_.get()); }
  bool readable() override { return HasEvent(socket_.get()); }

  Status WatchPeers() override;
  int peer_fd() const override { return peers_ == nullptr ? -1 : DescriptorOf(peers_.get()); }
  bool peer_readable() override { return peers_ != nullptr && HasEvent(peers_.get()); }
  bool NextPeerEvent(ZmqPeerEvent* event) override;

 private:
  Status Set(int option, const void* value, size_t size) {
    if (zmq_setsockopt(socket_.get(), option, value, size) == 0) return {};
    return Failed("a socket option is refused");
  }
  Status SetInt(int option, int value) { return Set(option, &value, sizeof(value)); }
  Status SetTimes(const ZmqOptions& options);
  Status SetCurve(const ZmqCurve& curve);

  const std::shared_ptr<Handle> context_;  // goes last
  RawSocket socket_;
  RawSocket peers_;  // the other end of the monitor
  ZmqMessage peer_message_;
};

Status LibSocket::SetTimes(const ZmqOptions& options) {
  HR_RETURN_IF_ERROR(SetInt(ZMQ_LINGER, Millis(options.linger)));
  HR_RETURN_IF_ERROR(SetInt(ZMQ_RECONNECT_IVL, std::max(1, Millis(options.reconnect))));
  HR_RETURN_IF_ERROR(SetInt(ZMQ_RECONNECT_IVL_MAX, Millis(options.reconnect_max)));
  return SetInt(ZMQ_HEARTBEAT_IVL, Millis(options.heartbeat));
}

Status LibSocket::SetCurve(const ZmqCurve& curve) {
  if (zmq_has("curve") == 0) return Fail(Errc::kUnsupported, "this libzmq has no CURVE");
  const auto set_key = [this](int option, const std::string& key) -> Status {
    if (key.size() != kCurveKeyChars) return Fail(Errc::kInvalid, "a CURVE key has 40 characters");
    return Set(option, key.c_str(), key.size() + 1);
  };
  HR_RETURN_IF_ERROR(set_key(ZMQ_CURVE_SECRETKEY, curve.own.secret_key));
  if (!curve.server_key.empty()) {
    HR_RETURN_IF_ERROR(set_key(ZMQ_CURVE_PUBLICKEY, curve.own.public_key));
    return set_key(ZMQ_CURVE_SERVERKEY, curve.server_key);
  }
  HR_RETURN_IF_ERROR(SetInt(ZMQ_CURVE_SERVER, 1));
  if (!context_->guarded()) return {};
  // Without an answer at the door nobody comes in.
  HR_RETURN_IF_ERROR(Set(ZMQ_ZAP_DOMAIN, kZapDomain, std::strlen(kZapDomain)));
#ifdef ZMQ_ZAP_ENFORCE_DOMAIN
  HR_RETURN_IF_ERROR(SetInt(ZMQ_ZAP_ENFORCE_DOMAIN, 1));
#endif
  return {};
}

Status LibSocket::Configure(ZmqType type, const ZmqOptions& options) {
  HR_RETURN_IF_ERROR(SetInt(ZMQ_SNDHWM, options.send_limit));
  HR_RETURN_IF_ERROR(SetInt(ZMQ_RCVHWM, options.receive_limit));
  HR_RETURN_IF_ERROR(Set(ZMQ_MAXMSGSIZE, &options.max_frame_bytes, sizeof(int64_t)));
  HR_RETURN_IF_ERROR(SetInt(ZMQ_IMMEDIATE, options.immediate ? 1 : 0));
  HR_RETURN_IF_ERROR(SetTimes(options));
  if (type == ZmqType::kRouter) {
    HR_RETURN_IF_ERROR(SetInt(ZMQ_ROUTER_MANDATORY, options.must_route ? 1 : 0));
  }
  return options.curve ? SetCurve(*options.curve) : Status{};
}

std::string LibSocket::endpoint() const {
  std::array<char, 1024> text{};
  size_t size = text.size();
  if (zmq_getsockopt(socket_.get(), ZMQ_LAST_ENDPOINT, text.data(), &size) != 0 || size == 0) {
    return "";
  }
  return {text.data(), size - 1};  // without its final 0
}

Status LibSocket::Send(std::span<const std::span<const uint8_t>> frames) {
  HR_CHECK(!frames.empty());
  if (SendFrames(socket_.get(), frames) == 0) return {};
  if (zmq_errno() == EAGAIN) return Fail(Errc::kLimit, "the peer's queue is full");
  if (zmq_errno() == EHOSTUNREACH) return Fail(Errc::kNotFound, "the peer is gone");
  return Failed("cannot send");
}

Result<bool> LibSocket::Receive(ZmqMessage* message) {
  if (ReceiveMessage(socket_.get(), message, ZMQ_DONTWAIT) >= 0) return true;
  message->Clear();
  if (zmq_errno() == EAGAIN) return false;
  return Failed("cannot receive");
}

Status LibSocket::WatchPeers() {
  HR_CHECK(peers_ == nullptr);
  // Unique while the socket lives, and the monitor ends with the socket.
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "inproc://headrace.peers.%p", static_cast<void*>(this));
  if (zmq_socket_monitor(socket_.get(), name.data(), kMonitored) != 0) {
    return Failed("cannot watch a socket's connections");
  }
  RawSocket peers(zmq_socket(context_->get(), ZMQ_PAIR));
  if (peers == nullptr) return Failed("cannot open a socket");
  const int none = 0;
  zmq_setsockopt(peers.get(), ZMQ_LINGER, &none, sizeof(none));
  if (zmq_connect(peers.get(), name.data()) != 0) {
    return Failed("cannot watch a socket's connections");
  }
  peers_ = std::move(peers);
  return {};
}

// Frames: [event u16, value u32] in the machine's order, [address].
bool LibSocket::NextPeerEvent(ZmqPeerEvent* event) {
  if (peers_ == nullptr) return false;
  if (ReceiveMessage(peers_.get(), &peer_message_, ZMQ_DONTWAIT) < 0) return false;
  *event = {};
  uint16_t kind = 0;
  if (peer_message_.size() >= 1 && peer_message_[0].size() >= sizeof(kind)) {
    std::memcpy(&kind, peer_message_[0].data(), sizeof(kind));
  }
  if (peer_message_.size() >= 2) event->address = peer_message_.text(1);
  using Kind = ZmqPeerEvent::Kind;
  if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) event->kind = Kind::kConnected;
  if (kind == ZMQ_EVENT_DISCONNECTED) event->kind = Kind::kDisconnected;
  if ((kind & (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
               ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)) != 0) {
    event->kind = Kind::kRefused;
  }
  return true;
}

int TypeOf(ZmqType type) {
  switch (type) {
    case ZmqType::kPub:
      return ZMQ_PUB;
    case ZmqType::kXpub:
      return ZMQ_XPUB;
    case ZmqType::kSub:
      return ZMQ_SUB;
    case ZmqType::kRouter:
      return ZMQ_ROUTER;
    case ZmqType::kDealer:
      return ZMQ_DEALER;
  }
  HR_CHECK(false);
}

class LibContext final : public ZmqContext {
 public:
  explicit LibContext(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}

  Result<std::unique_ptr<ZmqSocket>> Open(ZmqType type, const ZmqOptions& options) override {
    RawSocket raw(zmq_socket(handle_->get(), TypeOf(type)));
    if (raw == nullptr) return Failed("cannot open a socket");
    auto socket = std::make_unique<LibSocket>(handle_, std::move(raw));
    HR_RETURN_IF_ERROR(socket->Configure(type, options));
    return std::unique_ptr<ZmqSocket>(std::move(socket));
  }

  Status AllowClients(const std::vector<std::string>& public_keys) override {
    std::set<std::string> allowed;
    for (const std::string& key : public_keys) {
      std::array<uint8_t, kKeyBytes> bytes{};
      if (key.size() != kCurveKeyChars || zmq_z85_decode(bytes.data(), key.c_str()) == nullptr) {
        return Fail(Errc::kInvalid, "not a CURVE key of 40 characters in Z85");
      }
      allowed.emplace(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    return handle_->Guard(std::move(allowed));
  }

  uint64_t clients_refused() const override { return handle_->refused(); }

 private:
  const std::shared_ptr<Handle> handle_;
};

}  // namespace

Result<std::unique_ptr<ZmqContext>> CreateZmqContext(int io_threads) {
  void* const raw = zmq_ctx_new();
  if (raw == nullptr) return Failed("cannot make a ZeroMQ context");
  auto handle = std::make_shared<Handle>(raw);
  if (zmq_ctx_set(raw, ZMQ_IO_THREADS, io_threads) != 0) {
    return Failed("cannot set the number of ZeroMQ's threads");
  }
  return std::unique_ptr<ZmqContext>(std::make_unique<LibContext>(std::move(handle)));
}

Result<CurveKeys> MakeCurveKeys() {
  std::array<char, kCurveKeyChars + 1> public_key{};
  std::array<char, kCurveKeyChars + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return Fail(Errc::kUnsupported, "this libzmq has no CURVE", zmq_errno());
  }
  return CurveKeys{public_key.data(), secret_key.data()};
}

Result<std::string> CurvePublicKey(const std::string& secret_key) {
  std::array<char, kCurveKeyChars + 1> public_key{};
  if (secret_key.size() != kCurveKeyChars ||
      zmq_curve_public(public_key.data(), secret_key.c_str()) != 0) {
    return Fail(Errc::kInvalid, "not a CURVE key of 40 characters in Z85");
  }
  return std::string(public_key.data());
}

}  // namespace headrace::net
