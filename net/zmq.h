// ZeroMQ sockets over libzmq's C API. Only zmq.cc includes libzmq; in a build without it (feature
// `zmq`) CreateZmqContext fails with kUnsupported. A socket belongs to one thread at a time
// (handing it over needs a fence, as starting a thread is). Nothing here throws, and nothing blocks
// but the end of the last of a context and its sockets, for the longest linger.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"

namespace headrace::net {

// The frames of one message, in memory that is kept for the next.
class ZmqMessage {
 public:
  static constexpr size_t kMaxFrames = 16;  // what a peer sends beyond is thrown away

  size_t size() const { return ends_.size(); }
  std::span<const uint8_t> operator[](size_t index) const;
  std::string_view text(size_t index) const;
  bool truncated() const { return truncated_; }  // it had more frames

  void Clear();
  void Add(std::span<const uint8_t> frame);
  void SetTruncated() { truncated_ = true; }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
  bool truncated_ = false;
};

// Keys as text in Z85, 40 characters each.
struct CurveKeys {
  std::string public_key;
  std::string secret_key;
};
inline constexpr size_t kCurveKeyChars = 40;

struct ZmqCurve {
  CurveKeys own;
  // A client's: the server's public key. Empty: this end is the server, whichever end binds.
  std::string server_key;
};

struct ZmqOptions {
  int send_limit = 1000;                   // messages that wait for one peer
  int receive_limit = 1000;                // messages of one peer that wait for us
  int64_t max_frame_bytes = 64ll << 20;    // a peer that sends more is hung up on
  Duration linger{};                       // that unsent messages get after the socket's end
  Duration reconnect = milliseconds(100);  // first wait; doubles up to the next
  Duration reconnect_max = seconds(5);
  Duration heartbeat = seconds(10);  // a peer that does not answer it is hung up on; 0: none
  bool immediate = false;            // queue only for peers whose connection stands
  // ROUTER: a message to a peer that is gone fails with kNotFound instead of being dropped.
  bool must_route = true;
  std::optional<ZmqCurve> curve;  // absent: in the clear, for whoever asks
};

enum class ZmqType : uint8_t { kPub, kXpub, kSub, kRouter, kDealer };

// What became of a connection, by ZmqSocket::NextPeerEvent.
struct ZmqPeerEvent {
  enum class Kind : uint8_t {
    kConnected,     // the handshake too: messages flow from here on
    kDisconnected,  // a SUB may have missed what was sent from here on
    kRefused,       // a handshake that failed: wrong keys, or no CURVE at the other end
    kOther,
  };
  Kind kind = Kind::kOther;
  std::string address;
};

class ZmqSocket {
 public:
  virtual ~ZmqSocket() = default;

  // "tcp://127.0.0.1:5557", "tcp://*:0" (any port; see endpoint()), "ipc:///path", "inproc://name".
  // kIo with the errno (EADDRINUSE, EACCES), kInvalid for what is no endpoint.
  virtual Status Bind(const std::string& endpoint) = 0;
  // Returns before there is a connection; it is made, and made again, in the background.
  virtual Status Connect(const std::string& endpoint) = 0;
  virtual Status Disconnect(const std::string& endpoint) = 0;
  // The last one bound or connected, with the port that was taken.
  virtual std::string endpoint() const = 0;
  virtual Status Subscribe(std::string_view prefix) = 0;  // SUB

  // All frames or none, without waiting. kLimit: the peer's queue is full (of a PUB's subscribers
  // each drops for itself, which this end cannot see); kNotFound: no such peer; else kIo.
  virtual Status Send(std::span<const std::span<const uint8_t>> frames) = 0;
  // False: there is none now. kIo: the socket is of no use any more.
  virtual Result<bool> Receive(ZmqMessage* message) = 0;

  // The trap of fd(): it rings once for "something may have changed", also when it has not, and
  // each other call on the socket may swallow the ring. So after any ring and after any Send or
  // Receive, readable() must be asked, and Receive called until it is false, before the descriptor
  // is waited for again. WatchZmq does that.
  virtual int fd() const = 0;
  virtual bool readable() = 0;

  // From the call on, connections of this socket are told. Once, before Bind and Connect.
  virtual Status WatchPeers() = 0;
  virtual int peer_fd() const = 0;  // the same trap; -1 before WatchPeers
  virtual bool peer_readable() = 0;
  // False: there is none now.
  virtual bool NextPeerEvent(ZmqPeerEvent* event) = 0;
};

class ZmqContext {
 public:
  virtual ~ZmqContext() = default;
  // A socket keeps its context alive. kUnsupported: CURVE is not built into this libzmq; kInvalid:
  // a key is not one.
  virtual Result<std::unique_ptr<ZmqSocket>> Open(ZmqType type, const ZmqOptions& options) = 0;
  // CURVE servers of this context let in only clients with these public keys (Z85). Before any
  // Open; without it they let in whoever knows the server's public key. Runs on a thread of its
  // own.
  virtual Status AllowClients(const std::vector<std::string>& public_keys) = 0;
  virtual uint64_t clients_refused() const = 0;  // by AllowClients; any thread
};

// `io_threads` move bytes; one carries a gigabyte a second.
Result<std::unique_ptr<ZmqContext>> CreateZmqContext(int io_threads = 1);

Result<CurveKeys> MakeCurveKeys();
// kInvalid for what is no key.
Result<std::string> CurvePublicKey(const std::string& secret_key);

// Sends the frames given as anything that is bytes.
std::span<const uint8_t> ZmqBytes(std::string_view text);
Status ZmqSend(ZmqSocket* socket, std::initializer_list<std::span<const uint8_t>> frames);

// Calls `serve` on the loop while `socket` is readable; one call should read a bounded number of
// messages. The watch ends with this object, which goes before the socket and on the loop's thread.
class ZmqWatch {
 public:
  static Result<std::unique_ptr<ZmqWatch>> Create(Loop* loop, ZmqSocket* socket,
                                                  std::function<void()> serve);
  // The same for NextPeerEvent. REQUIRES: WatchPeers.
  static Result<std::unique_ptr<ZmqWatch>> CreateForPeers(Loop* loop, ZmqSocket* socket,
                                                          std::function<void()> serve);
  ~ZmqWatch();
  ZmqWatch(const ZmqWatch&) = delete;
  ZmqWatch& operator=(const ZmqWatch&) = delete;

  // After a Send or Receive on the socket outside `serve`: it may have swallowed a ring.
  void Touched();

 private:
  struct State;
  explicit ZmqWatch(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace headrace::net
