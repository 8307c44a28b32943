#include "wire/slot_header.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace headrace::wire {
namespace {

constexpr size_t kSealedFrom = offsetof(SlotHeader, checksum);
static_assert(kSealedFrom == 8);

uint32_t HeaderCheck(const SlotHeader& header) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&header);
  return static_cast<uint32_t>(XXH3_64bits(bytes + kSealedFrom, sizeof(header) - kSealedFrom));
}

}  // namespace

void SealHeader(SlotHeader* header) {
  header->header_check = HeaderCheck(*header);
}

bool HeaderHolds(const SlotHeader& header) {
  return header.header_check == HeaderCheck(header);
}

}  // namespace headrace::wire
