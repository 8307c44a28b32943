#include "net/http_message.h"

#include <fmt/format.h>

#include <iterator>

#include "base/result.h"

namespace headrace::net {
namespace {

struct Status {
  int code;
  std::string_view reason;
};
constexpr Status kStatuses[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Payload Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Entity"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

std::string_view ReasonOf(int status) {
  for (const Status& known : kStatuses) {
    if (known.code == status) return known.reason;
  }
  return "Unknown";
}

void AppendNumber(uint64_t number, std::string* out) {
  const fmt::format_int text(number);
  out->append(text.data(), text.size());
}

void AppendHead(const HttpReply& reply, const HttpReplyEnd& end, std::string* out) {
  HR_CHECK(reply.status >= 200 && reply.status < 600);
  HR_CHECK(reply.content_type.find_first_of("\r\n") == std::string::npos);
  HR_CHECK(reply.location.find_first_of("\r\n") == std::string::npos);
  HR_CHECK(reply.header_lines.empty() || reply.header_lines.ends_with("\r\n"));
  out->append("HTTP/1.1 ");
  AppendNumber(static_cast<uint64_t>(reply.status), out);
  out->append(" ").append(ReasonOf(reply.status));
  out->append("\r\nServer: headrace\r\n");
  if (!reply.content_type.empty()) {
    out->append("Content-Type: ").append(reply.content_type).append("\r\n");
  }
  if (!end.allow.empty()) out->append("Allow: ").append(end.allow).append("\r\n");
  if (!reply.location.empty()) out->append("Location: ").append(reply.location).append("\r\n");
  out->append(reply.header_lines);
  out->append(end.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
}

char Lower(char c) {
  return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

}  // namespace

void HttpHeaders::Add(std::string_view name, std::string_view value) {
  const auto begin = static_cast<uint32_t>(text_.size());
  for (const char c : name) text_.push_back(Lower(c));
  const auto middle = static_cast<uint32_t>(text_.size());
  const std::string_view lower = std::string_view(text_).substr(begin);
  for (Place& place : places_) {
    if (std::string_view(text_).substr(place.name, place.value - place.name) != lower) continue;
    const std::string before = text_.substr(place.value, place.end - place.value);
    text_.append(before).append(", ").append(value);
    place = {begin, middle, static_cast<uint32_t>(text_.size())};
    return;
  }
  text_.append(value);
  places_.push_back({begin, middle, static_cast<uint32_t>(text_.size())});
}

void HttpHeaders::Clear() {
  constexpr size_t kKeptBytes = 16 * size_t{1024};
  if (text_.capacity() > kKeptBytes) std::string().swap(text_);
  text_.clear();
  places_.clear();
}

std::string_view HttpHeaders::Find(std::string_view name) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    const Header header = (*this)[i];
    if (header.name == name) return header.value;
  }
  return "";
}

HttpHeaders::Header HttpHeaders::operator[](size_t index) const {
  const Place& place = places_[index];
  const std::string_view text = text_;
  return {text.substr(place.name, place.value - place.name),
          text.substr(place.value, place.end - place.value)};
}

void AppendReply(const HttpReply& reply, const HttpReplyEnd& end, std::string* out) {
  AppendHead(reply, end, out);
  if (reply.status != 204) {
    out->append("Content-Length: ");
    AppendNumber(reply.body.size(), out);
    out->append("\r\n");
  }
  out->append("\r\n");
  if (end.with_body) out->append(reply.body);
}

void AppendStreamHead(const HttpReply& reply, const HttpReplyEnd& end, std::string* out) {
  AppendHead(reply, end, out);
  out->append(end.chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
}

}  // namespace headrace::net
