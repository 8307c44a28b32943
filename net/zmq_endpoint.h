// ZeroMQ endpoints as people write them. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::net {

struct ZmqEndpoint {
  enum class Scheme : uint8_t { kTcp, kIpc, kInproc };
  Scheme scheme = Scheme::kTcp;
  std::string host;   // tcp: without brackets; "*" is every interface
  uint16_t port = 0;  // tcp: 0 takes a free one
  std::string path;   // ipc and inproc

  // Only programs of this host can reach it.
  bool is_local() const;
  // For a publisher that may stand on either side: names no single peer, so it can only be bound.
  // This is vLLM's rule for its own publisher.
  bool must_bind() const;
};

// "tcp://127.0.0.1:5557", "tcp://*:0", "tcp://[::1]:5557", "ipc:///run/x", "inproc://x".
Result<ZmqEndpoint> ParseZmqEndpoint(std::string_view text);

}  // namespace headrace::net
