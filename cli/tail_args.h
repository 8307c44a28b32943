// What stands on the line of `headrace events tail`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "cli/command_line.h"
#include "net/zmq.h"

namespace headrace::cli {

std::span<const Flag> TailFlags();

struct TailRequest {
  std::string endpoint;
  std::string replay_endpoint;  // "": none
  std::string topic_filter;
  uint64_t most_events = 0;      // 0: no end
  std::optional<Duration> time;  // absent: no end
  std::optional<net::ZmqCurve> curve;
};

// `line` has been read with TailFlags(). Reads the file of the key, and makes one where none is
// named. On failure `*message` is the line for the user.
Result<TailRequest> ReadTailRequest(const std::string& endpoint, const CommandLine& line,
                                    std::string* message);

// --server-key and --key-file. nullopt: in the clear.
Result<std::optional<net::ZmqCurve>> ReadCurve(const CommandLine& line, std::string* message);

// The one key in Z85 of a file: its first word that has a key's length.
Result<std::string> FindKey(std::string_view text);

}  // namespace headrace::cli
