// A small HTTP/1.1 server. Handlers run on the thread of its loop and must not block; what takes
// longer answers later, from another thread (HandleAsync) or from the same (HandleExchange).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"
#include "net/http_exchange.h"
#include "net/http_message.h"
#include "net/http_routes.h"

namespace headrace::net {

struct HttpLimits {
  uint32_t max_connections = 256;
  uint64_t max_body_bytes = 1 << 20;
  uint32_t idle_seconds = 30;
};

// The body of an answer that the server gives by itself (404, 405, 413, ...).
using HttpErrorBody = std::function<std::string(int status, std::string_view what)>;

class HttpServer {
 public:
  using Handler = HttpHandler;
  using Answer = HttpAnswer;
  using AsyncHandler = HttpAsyncHandler;

  // "127.0.0.1:9091"; port 0 takes a free one. Fails with kIo and the errno (EADDRINUSE, ...).
  // With a thread of its own:
  static Result<std::unique_ptr<HttpServer>> Listen(const std::string& address, HttpLimits limits);
  // On the caller's loop, whose thread makes every call of this object and destroys it.
  static Result<std::unique_ptr<HttpServer>> ListenOn(Loop* loop, const std::string& address,
                                                      HttpLimits limits);
  virtual ~HttpServer() = default;  // stops the thread, if it is its own

  // Before Start. 404 for an unknown path, 405 for a known path with another method; HEAD is
  // answered by the handler of GET. A handler that throws is answered by 500.
  // A path that ends with /* stands for all that have more behind the /; plain paths come first.
  virtual void Handle(const std::string& method, const std::string& path, Handler handler) = 0;
  // The same for a handler that answers later. Its connection waits; the others are served.
  virtual void HandleAsync(const std::string& method, const std::string& path,
                           AsyncHandler handler) = 0;
  virtual void HandleExchange(const std::string& method, const std::string& path,
                              HttpExchangeHandler handler) = 0;
  // Before Start. Without it {"error":"..."}.
  virtual void SetErrorBody(HttpErrorBody body) = 0;
  virtual void Start() = 0;
  virtual uint16_t port() const = 0;
};

}  // namespace headrace::net
