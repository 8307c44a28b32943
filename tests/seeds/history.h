// One history: a server, a few instances in one or two namespaces, and faults, all from one seed.
// Aborts (HR_CHECK) where an invariant breaks. One thread.
#pragma once

#include <cstdint>

#include "tests/seeds/coverage.h"

namespace headrace::seeds {

Coverage RunHistory(uint64_t seed);

}  // namespace headrace::seeds
