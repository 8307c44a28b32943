// With sanitizers g++ 12 sees an uninitialized boost::optional in Beast that is none, and warns
// that TSan does not model Asio's fences.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#include "net/http_client.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <utility>

#include "net/address.h"

namespace headrace::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using beast::error_code;
using Tcp = asio::ip::tcp;

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// One request, from the name to the body.
class Exchange {
 public:
  Exchange(const HostPort& server, const HttpCall& call, const HttpGetOptions& options)
      : server_(server), timeout_(options.timeout), resolver_(context_), stream_(context_) {
    request_.method_string(call.method);
    request_.version(11);
    request_.target(call.target);
    const bool v6 = server.host.find(':') != std::string::npos;
    request_.set(http::field::host,
                 (v6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port));
    request_.set(http::field::connection, "close");
    if (!call.bearer.empty()) request_.set(http::field::authorization, "Bearer " + call.bearer);
    if (!call.body.empty()) request_.set(http::field::content_type, "application/json");
    request_.body() = call.body;
    request_.prepare_payload();
    parser_.body_limit(options.max_body_bytes);
  }

  Result<HttpReply> Run() {
    stream_.expires_after(timeout_);
    resolver_.async_resolve(server_.host, std::to_string(server_.port),
                            [this](error_code error, const Tcp::resolver::results_type& found) {
                              if (Keep(error)) return;
                              stream_.async_connect(
                                  found, [this](error_code failed, const Tcp::endpoint&) {
                                    if (!Keep(failed)) Send();
                                  });
                            });
    // Names are looked up on a thread of Asio's, which the stream's time does not end.
    context_.run_for(timeout_);
    if (!done_) return Fail(Errc::kTimeout, "no answer in time");
    if (error_ == beast::error::timeout) return Fail(Errc::kTimeout, "no answer in time");
    if (error_) return Fail(Errc::kIo, "no connection, or no HTTP", error_.value());
    HttpReply reply;
    reply.status = static_cast<int>(parser_.get().result_int());
    reply.content_type = std::string(parser_.get()[http::field::content_type]);
    reply.body = std::move(parser_.get().body());
    return reply;
  }

 private:
  // Whether it ends here.
  bool Keep(error_code error) {
    error_ = error;
    done_ = static_cast<bool>(error);
    return done_;
  }
  void Send() {
    http::async_write(stream_, request_, [this](error_code error, size_t) {
      if (Keep(error)) return;
      http::async_read(stream_, buffer_, parser_, [this](error_code failed, size_t) {
        Keep(failed);
        done_ = true;
      });
    });
  }

  const HostPort server_;
  const Duration timeout_;
  asio::io_context context_;
  Tcp::resolver resolver_;
  beast::tcp_stream stream_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer buffer_;
  error_code error_;
  bool done_ = false;
};

}  // namespace

Result<HttpReply> HttpAsk(const std::string& address, const HttpCall& call,
                          const HttpGetOptions& options) {
  HR_TRY(const HostPort server, ParseHostPort(address));
  if (!call.target.starts_with('/') || !IsPrintable(call.target)) {
    return Fail(Errc::kInvalid, "a target begins with / and has no blanks");
  }
  if (call.method.empty() || !IsPrintable(call.method) || !IsPrintable(call.bearer)) {
    return Fail(Errc::kInvalid, "a method or a token has no blanks");
  }
  try {
    return Exchange(server, call, options).Run();
  } catch (const std::exception&) {
    return Fail(Errc::kIo, "no socket");
  }
}

Result<HttpReply> HttpGet(const std::string& address, const std::string& target,
                          const HttpGetOptions& options) {
  return HttpAsk(address, {.method = "GET", .target = target, .body = "", .bearer = ""}, options);
}

}  // namespace headrace::net
