// The index's questions by gRPC (server/rpc/indexer.proto): the same service, limits and tokens as
// over HTTP. Owns the gRPC server, whose threads only hand requests over; a request waits on none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "indexer/access.h"
#include "indexer/service.h"

namespace headrace::server {

class IndexRpc {
 public:
  struct Options {
    std::string address;  // "127.0.0.1:50051"; port 0 takes a free one
    uint64_t max_message_bytes = 1 << 20;
    // Without them everybody may ask everything.
    std::optional<indexer::AccessTokens> tokens;
  };

  // Serves from here on. The service outlives it, and goes on to answer until it is gone.
  // kUnsupported in a build without gRPC; on failure `*message` is the line for the user.
  static Result<std::unique_ptr<IndexRpc>> Listen(Options options, indexer::IndexService* service,
                                                  std::string* message);
  virtual ~IndexRpc() = default;  // ends what still waits

  virtual uint16_t port() const = 0;
};

}  // namespace headrace::server
