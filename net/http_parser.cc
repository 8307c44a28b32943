// With sanitizers g++ 12 sees an uninitialized boost::optional in Beast that is none.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "net/http_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <utility>

#include "net/http_target.h"

namespace headrace::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

std::string_view View(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// What Beast lets pass. A body in another encoding than chunked has no length that we know: where
// it ends, another server may see another request.
int RefusalOf(const http::request<http::string_body>& message) {
  uint32_t lines = 0;
  for (const auto& field : message) {
    if (++lines > kMaxHttpHeaderLines) return 431;
    if (field.name() != http::field::transfer_encoding) continue;
    if (!boost::beast::iequals(field.value(), "chunked")) return 400;
  }
  return 0;
}

int RefusalOf(const error_code& ec) {
  if (ec == http::error::body_limit) return 413;
  if (ec == http::error::header_limit) return 431;
  return 400;
}

}  // namespace

struct HttpParser::State {
  std::optional<http::request_parser<http::string_body>> parser;
  bool header_checked = false;
};

HttpParser::HttpParser(uint64_t max_body_bytes)
    : max_body_bytes_(max_body_bytes), state_(std::make_unique<State>()) {
  Reset();
}

HttpParser::~HttpParser() = default;

void HttpParser::Reset() {
  auto& parser = state_->parser.emplace();
  state_->header_checked = false;
  parser.eager(true);
  parser.header_limit(kMaxHttpHeaderBytes);
  parser.body_limit(max_body_bytes_);
}

size_t HttpParser::Take(std::string_view bytes, int* refusal) {
  auto& parser = *state_->parser;
  size_t taken = 0;
  *refusal = 0;
  while (taken < bytes.size() && !parser.is_done()) {
    error_code ec;
    taken += parser.put(boost::asio::buffer(bytes.data() + taken, bytes.size() - taken), ec);
    if (ec == http::error::need_more) break;
    if (ec) {
      *refusal = RefusalOf(ec);
      break;
    }
  }
  // Lines may also stand behind the last chunk.
  const bool header = parser.is_header_done() && !state_->header_checked;
  if (*refusal == 0 && (header || parser.is_done())) *refusal = RefusalOf(parser.get());
  state_->header_checked = parser.is_header_done();
  return taken;
}

bool HttpParser::begun() const {
  return state_->parser->got_some();
}
bool HttpParser::header_done() const {
  return state_->parser->is_header_done();
}
bool HttpParser::done() const {
  return state_->parser->is_done();
}
bool HttpParser::expects_continue() const {
  return boost::beast::iequals(state_->parser->get()[http::field::expect], "100-continue");
}

Status HttpParser::Finish(HttpRequest* request, bool* keep_alive) {
  auto& message = state_->parser->get();
  *keep_alive = message.keep_alive();
  request->knows_chunks = message.version() >= 11;
  request->method = View(message.method_string());
  request->headers.Clear();
  for (const auto& field : message) {
    request->headers.Add(View(field.name_string()), View(field.value()));
  }
  request->rest.clear();
  request->body = std::move(message.body());
  const std::string_view whole = View(message.target());
  request->query_text = whole.substr(std::min(whole.size(), whole.find('?') + 1));
  if (whole.find('?') == std::string_view::npos) request->query_text.clear();
  auto target = ParseTarget(whole);
  Reset();
  if (!target) return tl::unexpected(target.error());
  request->path = std::move(target->path);
  request->query = std::move(target->query);
  return {};
}

}  // namespace headrace::net
