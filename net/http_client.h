// One plain HTTP/1.1 request, for asking a neighbour now and then. Blocks its thread until the
// answer is there or the time is over: never on a loop. No TLS, no redirects. Only http_client.cc
// includes Beast.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "net/http_server.h"

namespace headrace::net {

struct HttpGetOptions {
  Duration timeout = seconds(2);  // of all of it
  uint64_t max_body_bytes = 1 << 20;
};

// "10.0.0.1:8000", "/kv_event_sources". Any status is an answer. kInvalid: no address; kTimeout;
// kIo with the errno: no connection, or no HTTP.
Result<HttpReply> HttpGet(const std::string& address, const std::string& target,
                          const HttpGetOptions& options);

struct HttpCall {
  std::string method = "GET";
  std::string target;  // begins with /
  std::string body;    // JSON; empty: none
  std::string bearer;  // token of the Authorization header; empty: none
};

// As HttpGet. kInvalid also for a method or a token that no header can carry.
Result<HttpReply> HttpAsk(const std::string& address, const HttpCall& call,
                          const HttpGetOptions& options);

}  // namespace headrace::net
