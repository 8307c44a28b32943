// Bytes of a connection to HTTP/1.1 requests, by Boost.Beast's parser. Only http_parser.cc includes
// Beast. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "net/http_message.h"

namespace headrace::net {

inline constexpr uint32_t kMaxHttpHeaderBytes = 16 * 1024;
inline constexpr uint32_t kMaxHttpHeaderLines = 128;

class HttpParser {
 public:
  explicit HttpParser(uint64_t max_body_bytes);
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  // Takes what it can use, and says how much that was; the rest comes again with what follows it.
  // Sets `*refusal` to 400, 413 or 431 when this is no request, and to 0 when it may be one.
  size_t Take(std::string_view bytes, int* refusal);

  bool begun() const;        // of the request that comes, some bytes are here
  bool header_done() const;  // the body may be missing
  bool done() const;
  bool expects_continue() const;  // the client waits for 100. REQUIRES: header_done()

  // The request, and whether the connection goes on after it; then the next one begins. kInvalid
  // when its target is none. REQUIRES: done()
  Status Finish(HttpRequest* request, bool* keep_alive);

 private:
  struct State;
  void Reset();

  const uint64_t max_body_bytes_;
  std::unique_ptr<State> state_;
};

}  // namespace headrace::net
