// With sanitizers g++ 12 sees an uninitialized boost::optional in Beast that is none, and warns
// that TSan does not model Asio's fences.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#include "net/http_server.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <csignal>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "net/address.h"
#include "net/http_target.h"

namespace headrace::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using beast::error_code;

// Names the executor instead of any_io_executor: the compiler has half as much to do.
struct Tcp {
  using Protocol = asio::ip::tcp;
  using Executor = asio::io_context::executor_type;
  using Endpoint = Protocol::endpoint;
  using Socket = asio::basic_stream_socket<Protocol, Executor>;
  using Acceptor = asio::basic_socket_acceptor<Protocol, Executor>;
  using NoDelay = Protocol::no_delay;
};
using Stream = beast::basic_stream<Tcp::Protocol, Tcp::Executor>;
using Request = http::request<http::string_body>;
using Parser = http::request_parser<http::string_body>;

constexpr uint32_t kMaxHeaderBytes = 16 * 1024;
constexpr size_t kReadBytes = 16 * size_t{1024};
constexpr size_t kReadBufferBytes = kMaxHeaderBytes + 2 * kReadBytes;
constexpr uint32_t kMaxDrains = 1024;  // reads of a client that does not stop sending
constexpr uint32_t kMaxRefusals = 64;  // connections that are being told 503 at one time
constexpr auto kLinger = std::chrono::seconds(1);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

HttpReply ErrorReply(int status, const char* literal) {
  return {status, "application/json", std::string("{\"error\":\"") + literal + "\"}\n"};
}

// One of the two.
struct Route {
  HttpServer::Handler now;
  HttpServer::AsyncHandler later;
};

// Where requests find their handler. Only changed before the thread starts.
class Routes {
 public:
  void Add(const std::string& method, const std::string& path, Route route) {
    bool prefix = path.ends_with("/*");
    std::string key = prefix ? path.substr(0, path.size() - 1) : path;
    HR_CHECK(key.find('*') == std::string::npos);
    auto& methods = prefix ? prefixes_[key] : paths_[key];
    bool added = methods.emplace(method, std::move(route)).second;
    HR_CHECK(added);  // two handlers for one thing
  }

  // Null when there is none: then `*refusal` is the answer and `*allow` is set with 405.
  const Route* Find(HttpRequest* request, HttpReply* refusal, std::string* allow) const {
    const Methods* methods = MethodsOf(request);
    if (methods == nullptr) {
      *refusal = ErrorReply(404, "no such path");
      return nullptr;
    }
    auto method = methods->find(request->method);
    if (method == methods->end() && request->method == "HEAD") method = methods->find("GET");
    if (method != methods->end()) return &method->second;
    *allow = Allowed(*methods);
    *refusal = ErrorReply(405, "method not allowed");
    return nullptr;
  }

 private:
  using Methods = std::map<std::string, Route>;

  // Sets what a * stands for. The longest prefix is the one.
  const Methods* MethodsOf(HttpRequest* request) const {
    const std::string& path = request->path;
    auto plain = paths_.find(path);
    if (plain != paths_.end()) return &plain->second;
    const Methods* found = nullptr;
    for (const auto& [prefix, methods] : prefixes_) {  // in order: a longer one comes later
      if (path.size() <= prefix.size() || !path.starts_with(prefix)) continue;
      found = &methods;
      request->rest = path.substr(prefix.size());
    }
    return found;
  }
  static std::string Allowed(const Methods& methods) {
    std::string list;
    for (const auto& [name, route] : methods) list += (list.empty() ? "" : ", ") + name;
    if (methods.contains("GET") && !methods.contains("HEAD")) list += ", HEAD";
    return list;
  }

  std::map<std::string, Methods> paths_;
  std::map<std::string, Methods> prefixes_;  // with their final /
};

// A handler's exception (a JSON library's, for example) ends its request only.
HttpReply HandlerFailed(const HttpRequest& request, const char* what) {
  HR_ERROR("handler of {} {} failed: {}", request.method, request.path, what);
  return ErrorReply(500, "internal error");
}

std::map<std::string, std::string> HeadersOf(const Request& message) {
  std::map<std::string, std::string> headers;
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    std::string value(field.value());
    auto [place, added] = headers.emplace(std::move(name), value);
    if (!added) place->second += ", " + value;
  }
  return headers;
}

class Session;

// The way back to the I/O thread for answers that come from elsewhere. Sessions that wait for one
// stand here, by number; the I/O thread's but for Send and Close.
class Mailbox {
 public:
  explicit Mailbox(asio::io_context* io) : io_(io) {}

  uint64_t Wait(std::shared_ptr<Session> session) {
    waiting_.emplace(++last_, std::move(session));
    return last_;
  }
  std::shared_ptr<Session> Take(uint64_t number) {
    auto node = waiting_.extract(number);
    return node.empty() ? nullptr : std::move(node.mapped());
  }
  // Any thread.
  static void Send(const std::shared_ptr<Mailbox>& to, uint64_t number, HttpReply reply);
  // No Send does anything after this; the sessions go.
  void Close() {
    std::lock_guard lock(mutex_);
    io_ = nullptr;
    waiting_.clear();
  }

 private:
  std::mutex mutex_;
  asio::io_context* io_;  // guarded by mutex_; null once the server ends
  uint64_t last_ = 0;
  std::map<uint64_t, std::shared_ptr<Session>> waiting_;
};

// What an Answer shares among its copies.
class Ticket {
 public:
  Ticket(std::shared_ptr<Mailbox> mailbox, uint64_t number)
      : mailbox_(std::move(mailbox)), number_(number) {}
  ~Ticket() {
    try {
      Use(ErrorReply(500, "internal error"));
    } catch (const std::exception& error) {  // no memory: the connection ends with the server
      HR_ERROR("an HTTP request stays without an answer: {}", error.what());
    }
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  void Use(HttpReply reply) {
    if (!used_.exchange(true)) Mailbox::Send(mailbox_, number_, std::move(reply));
  }

 private:
  const std::shared_ptr<Mailbox> mailbox_;
  const uint64_t number_;
  std::atomic<bool> used_ = false;  // any thread
};

// Counts itself in `*count` while it lives.
class Place {
 public:
  explicit Place(uint32_t* count) : count_(count) { ++*count_; }
  ~Place() { --*count_; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  uint32_t* count_;
};

// The bytes of a reply. Made here and not by Beast's serializer: one string in one write, and half
// the templates.
std::string ReplyText(const HttpReply& reply, const std::string& allow, bool keep, bool body) {
  HR_CHECK(reply.status >= 200 && reply.status < 600);
  HR_CHECK(reply.content_type.find_first_of("\r\n") == std::string::npos);
  HR_CHECK(reply.location.find_first_of("\r\n") == std::string::npos);
  auto reason = http::obsolete_reason(static_cast<http::status>(reply.status));
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\nServer: headrace\r\nContent-Type: {}\r\n", reply.status,
                  std::string_view(reason.data(), reason.size()), reply.content_type);
  if (!allow.empty()) text += "Allow: " + allow + "\r\n";
  if (!reply.location.empty()) text += "Location: " + reply.location + "\r\n";
  text += fmt::format("Content-Length: {}\r\nConnection: {}\r\n\r\n", reply.body.size(),
                      keep ? "keep-alive" : "close");
  return body ? text + reply.body : text;
}

// One connection: reads a request, answers, reads the next. Each pending operation holds the
// session alive; when none is left it is gone. The I/O thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // What all sessions of a server use.
  struct Shared {
    const Routes& routes;
    const HttpLimits& limits;
    std::shared_ptr<Mailbox> mailbox;
  };

  Session(Tcp::Socket socket, const Shared& shared, uint32_t* count)
      : stream_(std::move(socket)),
        buffer_(kReadBufferBytes),
        shared_(shared),
        limits_(shared.limits),
        place_(count) {}

  void Serve() {
    parser_ = std::make_unique<Parser>();
    parser_->eager(true);
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(limits_.max_body_bytes);
    header_seen_ = false;
    Deadline();
    Parse();  // a pipelined request may be here already
  }

  // The answer to the request that was read last.
  void Answer(const HttpReply& reply) {
    Deadline();
    Write(ReplyText(reply, allow_, keep_, with_body_), keep_ ? &Session::Serve : &Session::Linger);
  }

  // Answers outside of any request, and closes.
  void Refuse(const HttpReply& reply) {
    Deadline();
    Write(ReplyText(reply, "", false, true), &Session::Linger);
  }

 private:
  using Step = void (Session::*)();

  void Deadline() { stream_.expires_after(std::chrono::seconds(limits_.idle_seconds)); }

  void Parse() {
    while (buffer_.size() > 0 && !parser_->is_done()) {
      error_code ec;
      buffer_.consume(parser_->put(buffer_.data(), ec));
      if (ec == http::error::need_more) break;
      if (ec) return OnParseError(ec);
    }
    if (parser_->is_header_done() && !header_seen_) {
      header_seen_ = true;
      Deadline();  // the body has its own time
      bool waits = beast::iequals(parser_->get()[http::field::expect], "100-continue");
      if (waits && !parser_->is_done()) {
        return Write("HTTP/1.1 100 Continue\r\n\r\n", &Session::Read);
      }
    }
    parser_->is_done() ? OnRequest() : Read();
  }

  void Read() {
    // What the parser has no limit for, as the extensions of a chunk.
    if (buffer_.size() + kReadBytes > buffer_.max_size()) {
      return Refuse(ErrorReply(431, "header is too large"));
    }
    stream_.async_read_some(
        buffer_.prepare(kReadBytes),
        [self = shared_from_this()](error_code ec, size_t bytes) { self->OnRead(ec, bytes); });
  }

  // A connection that broke or fell silent is just dropped.
  void OnRead(error_code ec, size_t bytes) {
    if (ec == asio::error::eof && !parser_->got_some()) return Linger();
    if (ec) return;
    buffer_.commit(bytes);
    Parse();
  }

  void OnParseError(error_code ec) {
    if (ec == http::error::body_limit) return Refuse(ErrorReply(413, "body is too large"));
    if (ec == http::error::header_limit) return Refuse(ErrorReply(431, "header is too large"));
    Refuse(ErrorReply(400, "malformed request"));
  }

  void OnRequest() {
    Request& message = parser_->get();
    keep_ = message.keep_alive();
    with_body_ = message.method() != http::verb::head;
    allow_.clear();
    auto target = ParseTarget({message.target().data(), message.target().size()});
    if (!target) return Answer(ErrorReply(400, target.error().what));
    HttpRequest request{.method = std::string(message.method_string()),
                        .path = std::move(target->path),
                        .query = std::move(target->query),
                        .body = std::move(message.body()),
                        .headers = HeadersOf(message),
                        .rest = ""};
    HttpReply refusal;
    const Route* route = shared_.routes.Find(&request, &refusal, &allow_);
    if (route == nullptr) return Answer(refusal);
    route->now ? Answer(AnswerNow(*route, request)) : AnswerLater(*route, std::move(request));
  }

  static HttpReply AnswerNow(const Route& route, const HttpRequest& request) {
    try {
      return route.now(request);
    } catch (const std::exception& error) {
      return HandlerFailed(request, error.what());
    }
  }

  // Nothing is pending at the socket meanwhile: the mailbox holds the session.
  void AnswerLater(const Route& route, HttpRequest request) {
    stream_.expires_never();
    uint64_t number = shared_.mailbox->Wait(shared_from_this());
    auto ticket = std::make_shared<Ticket>(shared_.mailbox, number);
    HttpRequest named{.method = request.method, .path = request.path};
    try {
      route.later(std::move(request), [ticket](HttpReply reply) { ticket->Use(std::move(reply)); });
    } catch (const std::exception& error) {
      ticket->Use(HandlerFailed(named, error.what()));
    }
  }

  void Write(std::string text, Step next) {
    out_ = std::move(text);
    asio::async_write(stream_, asio::const_buffer(out_.data(), out_.size()),
                      [self = shared_from_this(), next](error_code ec, size_t) {
                        if (!ec) (self.get()->*next)();
                      });
  }

  // Closing with unread bytes makes the kernel reset the connection, and the client may lose the
  // answer: so say that we are done, and read away what comes for a moment.
  void Linger() {
    error_code ignored;
    ignored = stream_.socket().shutdown(Tcp::Socket::shutdown_send, ignored);
    if (ignored) return;
    stream_.expires_after(kLinger);
    Drain();
  }
  void Drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kReadBytes),
                            [self = shared_from_this()](error_code ec, size_t) {
                              if (!ec && ++self->drained_ < kMaxDrains) self->Drain();
                            });
  }

  Stream stream_;
  beast::flat_buffer buffer_;
  std::unique_ptr<Parser> parser_;  // one for each request
  bool header_seen_ = false;
  bool keep_ = false;       // the connection goes on after the answer
  bool with_body_ = false;  // no HEAD
  std::string allow_;       // of the answer
  std::string out_;         // being written
  const Shared& shared_;
  const HttpLimits& limits_;
  Place place_;
  uint32_t drained_ = 0;
};

void Mailbox::Send(const std::shared_ptr<Mailbox>& to, uint64_t number, HttpReply reply) {
  std::lock_guard lock(to->mutex_);
  if (to->io_ == nullptr) return;
  asio::post(*to->io_, [to, number, reply = std::move(reply)] {
    if (auto session = to->Take(number)) session->Answer(reply);
  });
}

class BeastServer final : public HttpServer {
 public:
  explicit BeastServer(HttpLimits limits)
      : limits_(limits), mailbox_(std::make_shared<Mailbox>(&io_)), acceptor_(io_), pause_(io_) {}
  ~BeastServer() override;

  Status Bind(const Tcp::Endpoint& endpoint);
  void Handle(const std::string& method, const std::string& path, Handler handler) override;
  void HandleAsync(const std::string& method, const std::string& path,
                   AsyncHandler handler) override;
  void Start() override;
  uint16_t port() const override { return port_; }

 private:
  void Add(const std::string& method, const std::string& path, Route route);
  void Accept();
  void OnAccept(error_code ec, Tcp::Socket socket);
  void Run();

  const HttpLimits limits_;
  Routes routes_;
  uint32_t sessions_ = 0;  // the I/O thread's, as all below
  uint32_t refusals_ = 0;
  bool accept_failed_ = false;  // said once a failure, not ten times a second
  uint16_t port_ = 0;
  asio::io_context io_{1};  // destroying it drops the sessions, which use what stands above
  const std::shared_ptr<Mailbox> mailbox_;
  const Session::Shared shared_{routes_, limits_, mailbox_};
  Tcp::Acceptor acceptor_;
  asio::steady_timer pause_;
  std::thread thread_;
};

BeastServer::~BeastServer() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  mailbox_->Close();
}

Status BeastServer::Bind(const Tcp::Endpoint& endpoint) {
  error_code ec;
  ec = acceptor_.open(endpoint.protocol(), ec);
  asio::socket_base::reuse_address reuse(true);
  if (!ec) ec = acceptor_.set_option(reuse, ec);
  if (!ec) ec = acceptor_.bind(endpoint, ec);
  int backlog = asio::socket_base::max_listen_connections;
  if (!ec) ec = acceptor_.listen(backlog, ec);
  if (ec) return Fail(Errc::kIo, "cannot listen on the HTTP address", ec.value());
  Tcp::Endpoint bound = acceptor_.local_endpoint(ec);
  if (ec) return Fail(Errc::kIo, "cannot read the HTTP port", ec.value());
  port_ = bound.port();
  return {};
}

void BeastServer::Handle(const std::string& method, const std::string& path, Handler handler) {
  HR_CHECK(handler != nullptr);
  Add(method, path, {.now = std::move(handler), .later = nullptr});
}

void BeastServer::HandleAsync(const std::string& method, const std::string& path,
                              AsyncHandler handler) {
  HR_CHECK(handler != nullptr);
  Add(method, path, {.now = nullptr, .later = std::move(handler)});
}

void BeastServer::Add(const std::string& method, const std::string& path, Route route) {
  HR_CHECK(!thread_.joinable());
  HR_CHECK(path.starts_with('/'));
  routes_.Add(method, path, std::move(route));
}

void BeastServer::Start() {
  HR_CHECK(!thread_.joinable());
  Accept();
  // Signals are for the main thread: the new one starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void BeastServer::Run() {
  pthread_setname_np(pthread_self(), "http");
  io_.run();
}

void BeastServer::Accept() {
  acceptor_.async_accept(
      [this](error_code ec, Tcp::Socket socket) { OnAccept(ec, std::move(socket)); });
}

void BeastServer::OnAccept(error_code ec, Tcp::Socket socket) {
  if (ec) {
    // Out of descriptors, most likely: others must close before another try can work.
    if (!accept_failed_) HR_WARN("cannot accept an HTTP connection: {}", ec.message());
    accept_failed_ = true;
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](error_code) { Accept(); });
    return;
  }
  accept_failed_ = false;
  error_code ignored;
  ignored = socket.set_option(Tcp::NoDelay(true), ignored);
  if (sessions_ < limits_.max_connections) {
    std::make_shared<Session>(std::move(socket), shared_, &sessions_)->Serve();
  } else if (refusals_ < kMaxRefusals) {
    auto session = std::make_shared<Session>(std::move(socket), shared_, &refusals_);
    session->Refuse(ErrorReply(503, "too many connections"));
  }
  Accept();
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& address,
                                                       HttpLimits limits) {
  HR_TRY(HostPort parsed, ParseHostPort(address));
  error_code ec;
  auto host = parsed.host == "localhost" ? asio::ip::address(asio::ip::address_v4::loopback())
                                         : asio::ip::make_address(parsed.host, ec);
  if (ec) return Fail(Errc::kInvalid, "host is not an IP address or localhost");
  try {
    auto server = std::make_unique<BeastServer>(limits);
    HR_RETURN_IF_ERROR(server->Bind(Tcp::Endpoint(host, parsed.port)));
    return std::unique_ptr<HttpServer>(std::move(server));
  } catch (const boost::system::system_error& error) {  // no epoll instance to be had
    return Fail(Errc::kIo, "cannot start the HTTP server", error.code().value());
  }
}

}  // namespace headrace::net
