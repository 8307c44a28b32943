// The options of the index that runs inside the server, and what can be said about them without
// reading a file. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "indexer/indexer_limits.h"

namespace headrace::server {

struct IndexOptions {
  std::string mode = "auto";
  std::string config_file;            // empty: defaults
  std::string token_file;             // empty: nobody is asked for a token
  std::vector<std::string> discover;  // addresses with GET /kv_event_sources
  std::string curve_secret_file;      // empty: publishers with a key cannot be followed
  std::string grpc_addr;              // empty: no gRPC
  indexer::IndexerLimits limits;

  // Auto: somebody configured it, or there is nothing else to run.
  bool on(uint64_t pool_bytes) const {
    const bool wanted = !config_file.empty() || !discover.empty() || !grpc_addr.empty();
    return mode == "on" || (mode == "auto" && (wanted || pool_bytes == 0));
  }
};

void BindIndexOptions(IndexOptions* options, OptionTable* table);
// The index's answers tell who asked what: off this host only to those who hold a token. On failure
// `message` is the line for the user, which names the option.
Status CheckIndexOptions(const IndexOptions& options, uint64_t pool_bytes,
                         const std::string& http_addr, std::string* message);

}  // namespace headrace::server
