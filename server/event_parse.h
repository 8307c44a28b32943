// What peers ask for and what key files say, as bytes from outside. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/zmq.h"

namespace headrace::server {

// A request as it arrives at a ROUTER, checked.
struct EventRequest {
  enum class Kind : uint8_t { kReplay, kSnapshot };
  Kind kind = Kind::kReplay;
  std::string peer;
  uint64_t start = 0;  // replay
  std::string topic;   // replay: "" is every topic
  bool one_topic = false;
};
Result<EventRequest> ParseEventRequest(const net::ZmqMessage& message);

// One CURVE key in Z85 a line; blanks around it, empty lines and lines that begin with # are
// nothing. A key may be followed by a blank and a comment. Fails with kInvalid.
Result<std::vector<std::string>> ParseKeyList(std::string_view text);

}  // namespace headrace::server
