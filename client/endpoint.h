// Where the server listens and who this client is, from options and the environment. Any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace headrace::client {

// The path of the socket. `endpoint` is ipc:///path, a path, or empty: HEADRACE_ENGINE_ENDPOINT,
// else ipc:///tmp/headrace.sock. Fails with kInvalid when it is no path of at most 107 bytes.
Result<std::string> SocketPath(const std::string& endpoint);

// `instance`, else HEADRACE_INSTANCE_ID, else a random name.
std::string InstanceName(const std::string& instance);

}  // namespace headrace::client
