// What an HTTP server takes and gives. Plain values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::net {

// In the order in which they came; names in lower case. One that stands twice has its values joined
// by ", ".
class HttpHeaders {
 public:
  struct Header {
    std::string_view name, value;
  };

  void Add(std::string_view name, std::string_view value);
  void Clear();
  // "" when there is none. `name` in lower case.
  std::string_view Find(std::string_view name) const;
  size_t size() const { return places_.size(); }
  Header operator[](size_t index) const;

 private:
  struct Place {
    uint32_t name, value, end;  // in text_
  };
  std::string text_;
  std::vector<Place> places_;
};

struct HttpRequest {
  bool knows_chunks = true;  // HTTP/1.1, or later
  std::string method;
  std::string path;                          // without the query
  std::map<std::string, std::string> query;  // of equal names the last
  std::string query_text;                    // as it came, without the ?
  std::string body;
  HttpHeaders headers;
  std::string rest;  // what stood in the place of a path's final *
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string location = "";  // where to ask instead, of a 3xx; "": none
  // Further header lines, each with its line break. Nothing that came from outside may stand in it.
  std::string header_lines = "";
};

// How the head of an answer goes on after its own lines.
struct HttpReplyEnd {
  std::string_view allow = "";  // of 405
  bool keep_alive = true;
  bool with_body = true;  // not to HEAD
  bool chunked = true;    // else the connection's end is the stream's
};

// Appends an answer whose length is known.
void AppendReply(const HttpReply& reply, const HttpReplyEnd& end, std::string* out);
// Appends the head of an answer whose body follows; reply.body is not looked at.
void AppendStreamHead(const HttpReply& reply, const HttpReplyEnd& end, std::string* out);

}  // namespace headrace::net
