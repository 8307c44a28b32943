// Where requests find their handler. Filled before the server starts, then only read.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "net/http_exchange.h"
#include "net/http_message.h"

namespace headrace::net {

using HttpHandler = std::function<HttpReply(const HttpRequest&)>;
// Takes the answer from any thread, also after the server is gone. The first call counts; 500 is
// answered when the last copy goes without one.
using HttpAnswer = std::function<void(HttpReply)>;
using HttpAsyncHandler = std::function<void(HttpRequest, HttpAnswer)>;
using HttpExchangeHandler = std::function<void(const std::shared_ptr<HttpExchange>&)>;

// One of the three.
struct HttpRoute {
  HttpHandler now;
  HttpAsyncHandler later;
  HttpExchangeHandler exchange;
};

class HttpRoutes {
 public:
  // REQUIRES: nobody has this method and path.
  void Add(const std::string& method, const std::string& path, HttpRoute route);

  // Null when there is none: `*allow` says which methods the path has, or nothing when there is no
  // such path. HEAD finds what GET has. Sets request->rest.
  const HttpRoute* Find(HttpRequest* request, std::string* allow) const;

 private:
  using Methods = std::map<std::string, HttpRoute>;

  const Methods* MethodsOf(HttpRequest* request) const;

  std::map<std::string, Methods> paths_;
  std::map<std::string, Methods> prefixes_;  // with their final /
};

}  // namespace headrace::net
