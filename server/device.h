// Whether the devices that the options name can be served here. Main thread.
#pragma once

#include <string>

#include "base/result.h"
#include "server/options.h"

namespace headrace::server {

// True when a CUDA driver can be opened.
bool HasCudaDriver();

// On failure `message` is the line for the user, and names what would work.
Status CheckDevice(const ServerOptions& options, bool has_cuda_driver, std::string* message);

}  // namespace headrace::server
