// The index's HTTP routes: who may ask, which part of the service is asked, the answer's form.
// docs/index_api.md lists them. Handlers run on the HTTP server's thread and wait for nothing.
#pragma once

#include <optional>

#include "indexer/access.h"
#include "indexer/indexer.h"
#include "net/http_server.h"

namespace headrace::server {

// Without tokens everybody may ask everything. The indexer outlives the HTTP server.
void AddIndexRoutes(net::HttpServer* http, indexer::Indexer* indexer,
                    std::optional<indexer::AccessTokens> tokens);

}  // namespace headrace::server
