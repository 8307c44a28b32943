// BLAKE3, its plain mode with 32 bytes of output, in portable C++. Pure function; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace headrace::wire {

std::array<uint8_t, 32> Blake3(std::span<const uint8_t> data);

}  // namespace headrace::wire
