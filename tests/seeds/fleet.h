// A seeded history of a whole fleet in one process: publishers that lose, double and disorder what
// they tell, and index replicas that keep a share of it each, die and are built anew, through the
// shipped follower, digest, index and scorer. A broken promise aborts. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace headrace::seeds {

struct FleetOptions {
  uint64_t seed = 1;
  size_t publishers = 1000;  // every tenth is a node that serves some of the others
  size_t replicas = 4;
};

// What the history came to; every count is above zero in a history that proves something.
using FleetReport = std::vector<std::pair<std::string, uint64_t>>;

FleetReport RunFleet(const FleetOptions& options);

}  // namespace headrace::seeds
