// The endpoints that generate, by their paths.
#pragma once

#include <span>

#include "sim/endpoint.h"

namespace headrace::sim {

std::span<const GenerateEndpoint> GenerateEndpoints();

}  // namespace headrace::sim
