// The server that a command asks over HTTP, and as whom.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "cli/command_line.h"
#include "net/http_client.h"

namespace headrace::cli {

inline constexpr std::string_view kDefaultUrl = "http://127.0.0.1:9091";

struct ServerPlace {
  std::string address;  // "127.0.0.1:9091"
  std::string token;    // "": none
  Duration timeout = seconds(30);
};

// "http://HOST:PORT", with or without http:// and a final slash. kInvalid for others; the reason is
// a line for people.
Result<std::string> AddressOf(std::string_view url);

// --url and --token-file (the first token of a file as the server's own).
Result<ServerPlace> ReadServerPlace(const CommandLine& line, std::string* message);
Result<std::string> ReadToken(const CommandLine& line, std::string* message);

// The body of an answer with status 200; others are failures.
Result<std::string> AskServer(const ServerPlace& place, const net::HttpCall& call,
                              std::string* message);

}  // namespace headrace::cli
