#include "sim/media.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hex.h"

namespace headrace::sim {

std::string MediaHash(std::string_view source) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, XXH3_128bits(source.data(), source.size()));
  return Hex(bytes.digest);
}

}  // namespace headrace::sim
