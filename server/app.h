// Composition: makes the parts of headrace-server from its options, starts them in order, runs the
// core's loop on this thread, and takes them down in the reverse order.
#pragma once

#include <string>

#include "base/result.h"
#include "server/options.h"

namespace headrace::server {

// Until SIGTERM or SIGINT. A start that fails gives the line for the user in `message`.
Status RunServer(const ServerOptions& options, std::string* message);

}  // namespace headrace::server
