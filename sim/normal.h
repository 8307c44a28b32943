// Normally distributed numbers from a Random: the standard library's differ between libraries.
#pragma once

#include <cmath>
#include <numbers>

#include "base/random.h"

namespace headrace::sim {

// Draws twice from `random`, always (Box and Muller's method).
inline double Normal(Random* random, double mean, double deviation) {
  const double radius = std::sqrt(-2 * std::log(1 - random->Share()));  // of a number above 0
  return mean + deviation * radius * std::cos(2 * std::numbers::pi * random->Share());
}

}  // namespace headrace::sim
