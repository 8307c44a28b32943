// An engine's KV buffer and gate page in a history, the bytes that a block must have, and the
// canary that a block carries while nobody may write it. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/block_hash.h"
#include "wire/copy.h"
#include "wire/layout.h"

namespace headrace::seeds {

// What an instance shares with the server: buffers (one a KV group) and gate words. It outlives the
// client's crash for as long as the mover maps it, as a real descriptor does.
struct ClientMemory {
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<uint32_t> gates;
};
using SharedMemory = std::shared_ptr<ClientMemory>;

// Which content: namespaces with equal hashes hold different bytes, and so do ranks and groups.
struct ContentKey {
  std::string name_space;
  wire::BlockHash hash;
  uint32_t group = 0;
  uint32_t rank = 0;
};

// Writes the block's right bytes through the layout.
void FillBlock(const wire::Layout& layout, uint32_t block, const ContentKey& key,
               std::vector<uint8_t>* buffer);
// Checks them; false when one differs.
bool BlockHolds(const wire::Layout& layout, uint32_t block, const ContentKey& key,
                const std::vector<uint8_t>& buffer);

void FillCanary(const wire::Layout& layout, uint32_t block, std::vector<uint8_t>* buffer);
bool CanaryStands(const wire::Layout& layout, uint32_t block, const std::vector<uint8_t>& buffer);

}  // namespace headrace::seeds
