// One connection to one Redis or Valkey: it comes up by itself, authenticates, chooses the
// database, is made anew with growing pauses when it breaks, and carries pipelined commands.
// Loop-bound.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/random.h"
#include "net/address.h"
#include "net/client_stream.h"
#include "net/redis_url.h"
#include "net/resp.h"
#include "net/tls.h"

namespace headrace::net {

struct RedisOptions {
  RedisUrl url;
  TlsOptions tls;  // when url.tls
  Duration connect_timeout = seconds(5);
  Duration command_timeout = seconds(5);  // then the connection is made anew
  Duration pause_min = milliseconds(50);  // before connecting again; doubles
  Duration pause_max = seconds(5);
  uint32_t max_pipeline = 4096;  // calls without an answer, on one connection
  uint64_t max_pipeline_bytes = 64 << 20;
  uint64_t seed = 1;  // of the jitter
};

class RedisConnection {
 public:
  // The array of the replies of one call, readable until the callback returns.
  using Done = std::function<void(Result<RespValue>)>;
  struct Events {
    // `restarted`: the server is another process than the one that this connection knew.
    std::function<void(bool restarted)> up;
    std::function<void(const Error&)> down;
  };

  // Everything outlives the connection; `tls` may be null. Begins to connect at once.
  RedisConnection(Loop* loop, const RedisOptions* options, StreamTarget target, TlsContext* tls,
                  Events events);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // Sends whole commands that give `replies` replies. When it fails nothing was sent and `done` is
  // not called: kUnavailable without a connection, kLimit when too much waits. `done` gets kGone or
  // kTimeout when the connection broke first: then the commands may have been carried out, or not.
  Status Call(std::string_view commands, uint32_t replies, Done done);

  bool up() const { return state_ == State::kUp; }
  bool failing() const { return state_ == State::kPausing; }  // the last try failed
  bool idle() const { return waiting_.empty(); }
  const StreamTarget& target() const { return target_; }
  // Why it is not up, for people.
  const std::string& trouble() const { return trouble_; }
  uint64_t reconnects() const { return reconnects_; }

 private:
  enum class State : uint8_t { kPausing, kConnecting, kGreeting, kUp };
  struct Waiting {
    uint32_t replies;
    size_t bytes;
    Time sent;
    Done done;
  };

  void Connect();
  void OnOpened();
  void OnReceived(std::string_view bytes);
  bool OnReplies();
  void OnGreeting(const RespValue& replies);
  void Break(const Error& error, const std::string& trouble);
  void Watchdog();
  void Arm(Duration after);

  Loop* const loop_;
  const RedisOptions* const options_;
  const StreamTarget target_;
  TlsContext* const tls_;
  const Events events_;

  State state_ = State::kPausing;
  std::unique_ptr<ClientStream> stream_;
  Time since_;  // of the state
  Duration pause_;
  uint64_t timer_ = 0;
  Random random_;
  std::string trouble_ = "not connected yet";
  std::string run_id_;  // of the process that answered last
  uint64_t reconnects_ = 0;
  uint32_t greetings_ = 0;  // replies that the greeting gives

  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  std::string in_;
  size_t in_at_ = 0;  // where the replies of the first of waiting_ begin
  RespParser parser_{1};
};

}  // namespace headrace::net
