// The HTTP pages: /health, /ready, /metrics, /instances. Handlers run on the HTTP server's thread,
// touch nothing of the core, and answer also when the core stands still.
#pragma once

#include <memory>

#include "base/metrics.h"
#include "net/http_server.h"
#include "server/growth.h"
#include "server/options.h"
#include "server/snapshot.h"
#include "server/status.h"

namespace headrace::server {

// All outlive the HTTP server.
struct HttpSources {
  const ServerInfo* info = nullptr;
  const PoolGrowth* growth = nullptr;
  SnapshotBoard* board = nullptr;
  Metrics* metrics = nullptr;
};

void AddPages(net::HttpServer* http, const HttpSources& sources);

// Makes each scrape show the core's numbers, and every limit.
void ExportMetrics(const ServerOptions& options, const HttpSources& sources);

}  // namespace headrace::server
