// The index as a part of the server: made from its options and files, with its metrics, or not
// there at all. Main thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/metrics.h"
#include "base/result.h"
#include "indexer/access.h"
#include "indexer/indexer.h"
#include "net/http_server.h"
#include "server/index_metrics.h"
#include "server/index_options.h"
#include "server/index_rpc.h"

namespace headrace::server {

class IndexPart {
 public:
  // Reads the configuration, the tokens and the tokenizers, and binds what it is to bind. `seed` is
  // random, `max_body_bytes` of a request. On failure `*message` is the line for the user, which
  // names the option.
  struct Parts {
    uint64_t seed = 0;
    uint64_t max_body_bytes = 0;
    Metrics* metrics = nullptr;
  };
  static Result<std::unique_ptr<IndexPart>> Create(const IndexOptions& options, const Parts& parts,
                                                   std::string* message);

  // Both before the HTTP server starts; it goes before this part does, and so do scrapes.
  void AddRoutes(net::HttpServer* http);
  void ExportMetrics();
  void Start();

  size_t tokens() const { return tokens_ ? tokens_->size() : 0; }

 private:
  explicit IndexPart(Metrics* metrics) : metrics_(metrics), shown_(metrics) {}

  Metrics* const metrics_;
  IndexMetrics shown_;
  std::optional<indexer::AccessTokens> tokens_;
  std::unique_ptr<indexer::Indexer> indexer_;
  std::unique_ptr<IndexRpc> rpc_;  // null without gRPC; goes first
};

}  // namespace headrace::server
