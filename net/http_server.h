// A small HTTP/1.1 server on Boost.Beast with one thread of its own. Handlers run on that thread
// and must not block; what takes longer goes to another thread and answers from there. Only
// http_server.cc includes Beast.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"

namespace headrace::net {

struct HttpRequest {
  std::string method;
  std::string path;  // without the query
  std::map<std::string, std::string> query;
  std::string body;
  // Names in lower case. A header that stands twice has its values joined by ", ".
  std::map<std::string, std::string> headers;
  std::string rest;  // what stood in the place of a path's final *
};
struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string location = "";  // where to ask instead, of a 3xx; "": none
};

struct HttpLimits {
  uint32_t max_connections = 256;
  uint64_t max_body_bytes = 1 << 20;
  uint32_t idle_seconds = 30;
};

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;
  // Takes the answer from any thread, also after the server is gone. The first call counts; 500 is
  // answered when the last copy goes without one.
  using Answer = std::function<void(HttpReply)>;
  using AsyncHandler = std::function<void(HttpRequest, Answer)>;

  // "127.0.0.1:9091"; port 0 takes a free one. Fails with kIo and the errno (EADDRINUSE, ...).
  static Result<std::unique_ptr<HttpServer>> Listen(const std::string& address, HttpLimits limits);
  virtual ~HttpServer() = default;  // stops the thread

  // Before Start. 404 for an unknown path, 405 for a known path with another method; HEAD is
  // answered by the handler of GET. A handler that throws is answered by 500.
  // A path that ends with /* stands for all that have more behind the /; plain paths come first.
  virtual void Handle(const std::string& method, const std::string& path, Handler handler) = 0;
  // The same for a handler that answers later. Its connection waits; the others are served.
  virtual void HandleAsync(const std::string& method, const std::string& path,
                           AsyncHandler handler) = 0;
  virtual void Start() = 0;
  virtual uint16_t port() const = 0;
};

}  // namespace headrace::net
