// headrace-sim as a whole: its ranks, from a configuration to a clean stop. Main thread.
#pragma once

#include <string>

#include "base/result.h"
#include "sim/config.h"

namespace headrace::sim {

// Serves until SIGTERM or SIGINT: then new requests get 503, and those that run have 30 seconds.
// On failure `message` is the line for the user.
Status RunSimulator(const Config& config, std::string* message);

}  // namespace headrace::sim
