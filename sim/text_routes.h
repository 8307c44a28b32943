// The endpoints that turn texts into tokens and back, and tokens into vectors.
#pragma once

#include <cstdint>

#include "net/http_server.h"
#include "sim/rank.h"

namespace headrace::sim {

// `rank` outlives the server. `dimensions`: of embeddings, unless the request says.
void AddTextRoutes(net::HttpServer* server, Rank* rank, uint32_t dimensions);

}  // namespace headrace::sim
