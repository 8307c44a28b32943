#include "net/http_session.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <utility>

#include "base/log.h"

namespace headrace::net {
namespace {

constexpr size_t kMaxLeftBytes = kMaxHttpHeaderBytes + 32 * size_t{1024};
constexpr size_t kKeptBytes = 64 * size_t{1024};  // of buffers between two answers
constexpr uint32_t kMaxDrains = 1024;             // reads of a client that does not stop sending
constexpr Duration kLinger = seconds(1);

// What an HttpAnswer shares among its copies.
class Ticket {
 public:
  Ticket(std::shared_ptr<HttpMailbox> mailbox, uint64_t number, HttpReply forgotten)
      : mailbox_(std::move(mailbox)), number_(number), forgotten_(std::move(forgotten)) {}
  ~Ticket() {
    try {
      Use(std::move(forgotten_));
    } catch (const std::exception& error) {  // no memory: the connection ends with the server
      HR_ERROR("an HTTP request stays without an answer: {}", error.what());
    }
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  void Use(HttpReply reply) {
    if (!used_.exchange(true)) HttpMailbox::Send(mailbox_, number_, std::move(reply));
  }

 private:
  const std::shared_ptr<HttpMailbox> mailbox_;
  const uint64_t number_;
  HttpReply forgotten_;
  std::atomic<bool> used_ = false;  // any thread
};

// A string that is assigned to keeps its memory; one that is swapped does not.
void Recycle(std::string* buffer) {
  if (buffer->capacity() > kKeptBytes) {
    std::string().swap(*buffer);
  } else {
    buffer->clear();
  }
}

}  // namespace

uint64_t HttpMailbox::Wait(std::shared_ptr<HttpSession> session) {
  waiting_.emplace(++last_, std::move(session));
  return last_;
}

std::shared_ptr<HttpSession> HttpMailbox::Take(uint64_t number) {
  auto node = waiting_.extract(number);
  return node.empty() ? nullptr : std::move(node.mapped());
}

void HttpMailbox::Send(const std::shared_ptr<HttpMailbox>& to, uint64_t number, HttpReply reply) {
  std::lock_guard lock(to->mutex_);
  if (to->loop_ == nullptr) return;
  to->loop_->Post([to, number, reply = std::move(reply)] {
    if (auto session = to->Take(number)) session->Answer(reply);
  });
}

void HttpMailbox::Close() {
  std::lock_guard lock(mutex_);
  loop_ = nullptr;
  waiting_.clear();
}

bool HttpSession::Start() {
  watched_ = EPOLLIN;
  Deadline();
  const Status watched =
      loop_->Watch(fd_.get(), watched_, [this](uint32_t events) { OnReady(events); });
  if (watched) return true;
  Close();
  return false;
}

void HttpSession::Refuse(int status, std::string_view what) {
  keep_ = false;
  with_body_ = true;
  allow_.clear();
  state_ = State::kAnswering;
  Answer(ErrorReply(status, what));
}

void HttpSession::OnReady(uint32_t events) {
  const auto self = shared_from_this();  // Close lets go of it
  // Where both sides have said their last word, what we sent may still be on its way, and what is
  // not read yet would make a Close throw it away.
  const bool drains = state_ == State::kDraining && (events & EPOLLIN) != 0;
  if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && !drains)) return Close();
  if ((events & EPOLLRDHUP) != 0) return OnEnd();
  if ((events & EPOLLOUT) != 0) Send();
  if ((events & EPOLLIN) != 0 && state_ != State::kClosed) Read();
}

void HttpSession::Read() {
  std::vector<char>& scratch = shared_->scratch;
  const ssize_t got = recv(fd_.get(), scratch.data(), scratch.size(), 0);
  if (got == 0) return OnEnd();
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) Close();
    return;
  }
  const std::string_view bytes(scratch.data(), static_cast<size_t>(got));
  if (state_ == State::kReading) return Feed(bytes);
  if (state_ == State::kAnswering) return Keep(bytes);
  if (++drained_ >= kMaxDrains) Close();
}

// The client sends no more. What it asked for in one go it gets; who waits for an answer in pieces
// and hangs up does not want it any more.
void HttpSession::OnEnd() {
  if (state_ != State::kAnswering || way_ == Way::kExchange) return Close();
  ended_ = true;
  want_read_ = false;
  Interest();
}

// A pipelined request has its turn later; who sends many waits in the kernel.
void HttpSession::Keep(std::string_view bytes) {
  left_.append(bytes);
  if (left_.size() <= kMaxLeftBytes) return;
  want_read_ = false;
  Interest();
}

void HttpSession::Feed(std::string_view bytes) {
  if (parsing_) return;  // an answer from within a handler: the loop below goes on
  parsing_ = true;
  if (left_.empty()) {
    left_.assign(bytes.substr(Parse(bytes)));
  } else {
    left_.append(bytes);
    left_.erase(0, Parse(left_));
  }
  parsing_ = false;
  if (left_.empty()) Recycle(&left_);
  if (ended_ && state_ == State::kReading) Drain();
}

// Requests, as long as each is answered at once. Says how far it came.
size_t HttpSession::Parse(std::string_view bytes) {
  size_t at = 0;
  while (state_ == State::kReading && at < bytes.size()) {
    int refusal = 0;
    at += parser_.Take(bytes.substr(at), &refusal);
    if (refusal != 0) {
      Refuse(refusal, refusal == 413   ? "body is too large"
                      : refusal == 431 ? "header is too large"
                                       : "malformed request");
      break;
    }
    if (parser_.header_done() && !header_seen_) OnHeader();
    if (!parser_.done()) {
      // What the parser has no limit for, as the extensions of a chunk.
      if (bytes.size() - at > kMaxLeftBytes) Refuse(431, "header is too large");
      break;
    }
    OnRequest();
  }
  return at;
}

void HttpSession::OnHeader() {
  header_seen_ = true;
  Deadline();  // the body has its own time
  if (parser_.done() || !parser_.expects_continue()) return;
  out_.append("HTTP/1.1 100 Continue\r\n\r\n");
  Send();
}

void HttpSession::OnRequest() {
  const Status read = parser_.Finish(&request_, &keep_);
  state_ = State::kAnswering;
  way_ = Way::kNow;
  header_seen_ = false;
  streaming_ = false;
  whole_ = false;
  with_body_ = request_.method != "HEAD";
  allow_.clear();
  if (!read) return Answer(ErrorReply(400, read.error().what));
  const HttpRoute* const route = shared_->routes->Find(&request_, &allow_);
  if (route != nullptr) return Dispatch(*route);
  Answer(allow_.empty() ? ErrorReply(404, "no such path") : ErrorReply(405, "method not allowed"));
}

void HttpSession::Dispatch(const HttpRoute& route) {
  if (route.now) return Answer(AnswerNow(route));
  deadline_ = Time::max();
  if (route.later) return AnswerLater(route);
  way_ = Way::kExchange;
  if (ended_) return Close();  // as OnEnd does
  try {
    route.exchange(shared_from_this());
  } catch (const std::exception& error) {
    const HttpReply reply = Failed(error.what());
    streaming_ ? Close() : Reply(reply);
  }
}

HttpReply HttpSession::AnswerNow(const HttpRoute& route) {
  try {
    return route.now(request_);
  } catch (const std::exception& error) {
    return Failed(error.what());
  }
}

void HttpSession::AnswerLater(const HttpRoute& route) {
  way_ = Way::kLater;
  const uint64_t number = shared_->mailbox->Wait(shared_from_this());
  auto ticket =
      std::make_shared<Ticket>(shared_->mailbox, number, ErrorReply(500, "internal error"));
  try {
    route.later(request_, [ticket](HttpReply reply) { ticket->Use(std::move(reply)); });
  } catch (const std::exception& error) {
    ticket->Use(Failed(error.what()));
  }
}

// A handler's exception (a JSON library's, for example) ends its request only.
HttpReply HttpSession::Failed(const char* what) const {
  HR_ERROR("handler of {} {} failed: {}", request_.method, request_.path, what);
  return ErrorReply(500, "internal error");
}

HttpReply HttpSession::ErrorReply(int status, std::string_view what) const {
  return {.status = status, .body = shared_->error_body(status, what)};
}

void HttpSession::Reply(const HttpReply& reply) {
  HR_CHECK(!streaming_);
  Answer(reply);
}

void HttpSession::Answer(const HttpReply& reply) {
  if (state_ != State::kAnswering || whole_) return;
  AppendReply(reply, {.allow = allow_, .keep_alive = keep_, .with_body = with_body_}, &out_);
  gone_ = nullptr;
  whole_ = true;
  Deadline();
  Send();
}

void HttpSession::Begin(const HttpReply& head) {
  if (state_ != State::kAnswering || whole_) return;
  HR_CHECK(!streaming_);
  streaming_ = true;
  chunked_ = request_.knows_chunks;
  keep_ = keep_ && chunked_;
  AppendStreamHead(head, {.keep_alive = keep_, .with_body = with_body_, .chunked = chunked_},
                   &out_);
}

void HttpSession::Flush() {
  if (state_ != State::kAnswering || whole_) return body_.clear();
  if (body_.empty()) return;
  flush_ = true;
  if (!want_write_) Send();
}

void HttpSession::End() {
  if (state_ != State::kAnswering || whole_) return body_.clear();
  HR_CHECK(streaming_);
  gone_ = nullptr;
  whole_ = true;
  flush_ = true;
  Deadline();
  if (!want_write_) Send();
}

void HttpSession::OnGone(std::function<void()> gone) {
  gone_ = std::move(gone);
  if (state_ == State::kClosed) TellGone();
}

// What is in the body becomes a chunk, and the last one after it when nothing more comes.
void HttpSession::AppendChunk() {
  flush_ = false;
  if (!body_.empty() && with_body_) {
    if (chunked_) fmt::format_to(std::back_inserter(out_), "{:x}\r\n", body_.size());
    out_.append(body_).append(chunked_ ? "\r\n" : "");
  }
  Recycle(&body_);
  if (whole_ && with_body_ && chunked_) out_.append("0\r\n\r\n");
}

// Writes until all is out: true. False: the client does not read, or the connection broke.
bool HttpSession::Write() {
  while (sent_ < out_.size()) {
    const ssize_t sent =
        send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      sent_ += static_cast<size_t>(sent);
      Deadline();
    } else if (errno == EAGAIN) {
      if (deadline_ == Time::max()) Deadline();
      want_write_ = true;
      Interest();
      return false;
    } else if (errno != EINTR) {
      Close();
      return false;
    }
  }
  Recycle(&out_);
  sent_ = 0;
  return true;
}

void HttpSession::Send() {
  do {
    if (streaming_ && flush_) AppendChunk();
    if (!Write()) return;
  } while (streaming_ && flush_);  // what came meanwhile
  if (want_write_) {
    want_write_ = false;
    Interest();
  }
  if (state_ != State::kAnswering) return;
  if (whole_) return AfterAnswer();
  deadline_ = Time::max();  // it is the handler that takes its time
}

void HttpSession::AfterAnswer() {
  whole_ = false;
  streaming_ = false;
  Recycle(&request_.body);
  if (!keep_) return Drain();
  state_ = State::kReading;
  Deadline();
  if (!want_read_ && !ended_) {
    want_read_ = true;
    Interest();
  }
  if (!left_.empty() || ended_) Feed("");
}

// Closing with unread bytes makes the kernel reset the connection, and the client may lose the
// answer: so say that we are done, and read away what comes for a moment.
void HttpSession::Drain() {
  if (shutdown(fd_.get(), SHUT_WR) != 0) return Close();
  state_ = State::kDraining;
  left_.clear();
  deadline_ = loop_->now() + kLinger;
  want_read_ = true;
  Interest();
}

void HttpSession::Interest() {
  // A client that is not read from may hang up all the same.
  const bool may_go = state_ == State::kAnswering && way_ == Way::kExchange;
  const uint32_t unread = may_go ? uint32_t{EPOLLRDHUP} : 0;
  const uint32_t events =
      (want_read_ ? uint32_t{EPOLLIN} : unread) | (want_write_ ? uint32_t{EPOLLOUT} : 0);
  if (events == watched_ || state_ == State::kClosed) return;
  watched_ = events;
  if (!loop_->Rearm(fd_.get(), events)) Close();
}

void HttpSession::Deadline() {
  deadline_ = loop_->now() + seconds(shared_->limits.idle_seconds);
}

void HttpSession::CloseIfLate(Time now) {
  if (now >= deadline_) Close();
}

// A connection that broke or fell silent is just dropped.
void HttpSession::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  loop_->Unwatch(fd_.get());
  fd_.Reset();
  if (gone_) TellGone();
  shared_->forget(this);
}

// Later: whoever is to be told may be calling us.
void HttpSession::TellGone() {
  loop_->Post([self = shared_from_this()] {
    if (auto gone = std::exchange(self->gone_, nullptr)) gone();
  });
}

void HttpSession::Abandon() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  loop_->Unwatch(fd_.get());
  fd_.Reset();
  if (auto gone = std::exchange(gone_, nullptr)) gone();
}

}  // namespace headrace::net
