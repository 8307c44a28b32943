// How many tokens a made-up answer has. Pure functions but for the generator they draw from.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace headrace::sim {

// With max_tokens: few answers are as long as they may be, most are much shorter. 1 to `max`.
uint32_t LengthUpTo(uint32_t max, Random* random);

// Without: around 40, where the context has room for `room` tokens. 1 to `room`.
uint32_t LengthWithin(uint32_t room, Random* random);

}  // namespace headrace::sim
