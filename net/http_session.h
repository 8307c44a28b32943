// One connection of an HTTP server: reads a request, has it answered, reads the next. All on its
// loop's thread; part of http_server.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/loop.h"
#include "base/time.h"
#include "net/http_exchange.h"
#include "net/http_parser.h"
#include "net/http_routes.h"
#include "net/http_server.h"

namespace headrace::net {

class HttpSession;

// The way back to the loop for answers that come from other threads. Sessions that wait for one
// stand here, by number; the loop's thread's but for Send and Close.
class HttpMailbox {
 public:
  explicit HttpMailbox(Loop* loop) : loop_(loop) {}

  uint64_t Wait(std::shared_ptr<HttpSession> session);
  std::shared_ptr<HttpSession> Take(uint64_t number);
  // Any thread.
  static void Send(const std::shared_ptr<HttpMailbox>& to, uint64_t number, HttpReply reply);
  // No Send does anything after this; the sessions go.
  void Close();

 private:
  std::mutex mutex_;
  Loop* loop_;  // guarded by mutex_; null once the server ends
  uint64_t last_ = 0;
  std::map<uint64_t, std::shared_ptr<HttpSession>> waiting_;
};

class HttpSession final : public HttpExchange, public std::enable_shared_from_this<HttpSession> {
 public:
  // What all sessions of a server use; outlives their Close.
  struct Shared {
    Loop* loop = nullptr;
    const HttpRoutes* routes = nullptr;
    HttpLimits limits;
    HttpErrorBody error_body;
    std::shared_ptr<HttpMailbox> mailbox;
    std::vector<char> scratch;                 // what was read last
    std::function<void(HttpSession*)> forget;  // the session is closed
  };

  HttpSession(Fd fd, Shared* shared)
      : fd_(std::move(fd)),
        shared_(shared),
        loop_(shared->loop),
        parser_(shared->limits.max_body_bytes) {}

  // False when the loop cannot watch it: then it is closed.
  bool Start();
  // Answers outside of any request, and closes.
  void Refuse(int status, std::string_view what);
  // The answer of an HttpAnswer.
  void Answer(const HttpReply& reply);
  void CloseIfLate(Time now);
  // At the server's end: tells an exchange at once.
  void Abandon();

  HttpRequest& request() override { return request_; }
  void Reply(const HttpReply& reply) override;
  void Begin(const HttpReply& head) override;
  std::string* body() override { return &body_; }
  void Flush() override;
  void End() override;
  void OnGone(std::function<void()> gone) override;
  size_t unsent_bytes() const override { return out_.size() - sent_ + body_.size(); }

 private:
  enum class State : uint8_t {
    kReading,    // a request
    kAnswering,  // the answer is not whole, or not sent
    kDraining,   // all is said; what still comes is thrown away
    kClosed,
  };
  enum class Way : uint8_t { kNow, kLater, kExchange };  // in which the request is answered

  void OnReady(uint32_t events);
  void Read();
  void OnEnd();
  void Keep(std::string_view bytes);
  void Feed(std::string_view bytes);
  size_t Parse(std::string_view bytes);
  void OnHeader();
  void OnRequest();
  void Dispatch(const HttpRoute& route);
  void AnswerLater(const HttpRoute& route);
  HttpReply AnswerNow(const HttpRoute& route);
  HttpReply Failed(const char* what) const;
  HttpReply ErrorReply(int status, std::string_view what) const;
  void AppendChunk();
  bool Write();
  void Send();
  void AfterAnswer();
  void Drain();
  void Interest();
  void Deadline();
  void Close();
  void TellGone();

  Fd fd_;
  Shared* const shared_;
  Loop* const loop_;
  HttpParser parser_;
  HttpRequest request_;
  State state_ = State::kReading;
  Way way_ = Way::kNow;
  bool header_seen_ = false;
  bool ended_ = false;      // the client sends no more
  bool keep_ = false;       // the connection goes on after the answer
  bool with_body_ = false;  // no HEAD
  bool streaming_ = false;  // Begin was called
  bool chunked_ = true;     // the stream; else it ends with the connection
  bool flush_ = false;      // what is in body_ is to go out
  bool whole_ = false;      // the answer has nothing more to come
  bool parsing_ = false;
  bool want_read_ = true, want_write_ = false;
  uint32_t watched_ = 0;  // events
  uint32_t drained_ = 0;
  std::string allow_;  // of the answer
  std::string left_;   // read, and not parsed yet
  std::string body_;   // of a stream, not flushed
  std::string out_;    // being sent,
  size_t sent_ = 0;    // up to here
  Time deadline_ = Time::max();
  std::function<void()> gone_;
};

}  // namespace headrace::net
