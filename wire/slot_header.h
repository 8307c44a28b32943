// The pool's self-description: byte layouts of the metadata file that stands beside the data
// regions (docs/memory.md). Version 1 is final: a keeper hands these bytes to the next server.
// Plain memory, little-endian; written only by the core's thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "wire/block_hash.h"

namespace headrace::wire {

inline constexpr uint64_t kPoolMagic = 0x4c4f4f5043524448;  // "HDRCPOOL"
inline constexpr uint32_t kPoolVersion = 1;

enum class SlotState : uint32_t {
  kFree = 0,
  kFilling = 1,   // a mover may be writing: worthless after a crash
  kComplete = 2,  // bytes and header are whole; set last, with release order
};

enum SlotFlags : uint8_t { kSlotChecksumSet = 1 };

// One slot: a block's part (group, rank). 128 bytes.
struct SlotHeader {
  uint32_t state;         // SlotState; written by StoreState
  uint32_t header_check;  // low 32 bits of XXH3-64 over bytes [8, 128); written by SealHeader
  uint64_t checksum;      // XXH3-64 of the payload when kSlotChecksumSet
  uint32_t name_space;    // index of a NamespaceRecord
  uint32_t generation;    // of the namespace when written (low 32 bits)
  uint64_t payload_bytes;
  uint8_t hash[32];
  uint8_t parent[32];
  uint8_t hash_bytes;
  uint8_t parent_bytes;  // 0: first block of a sequence
  uint8_t group;
  uint8_t flags;  // SlotFlags
  uint16_t rank;
  uint16_t world_size;
  uint16_t num_layers;  // layout descriptor: parts x num_layers segments
  uint8_t parts;
  uint8_t reserved0;
  uint32_t segment_bytes;  // of one segment: payload_bytes / (parts x num_layers)
  uint32_t writer_uid;
  uint32_t writer_instance;  // low 32 bits of XXH3-64 of the instance name
  uint32_t depth;            // position in its sequence
  uint32_t block_tokens;
};
static_assert(sizeof(SlotHeader) == 128 && offsetof(SlotHeader, hash) == 32 &&
              offsetof(SlotHeader, hash_bytes) == 96 && offsetof(SlotHeader, depth) == 120);

// One namespace. 512 bytes.
struct NamespaceRecord {
  uint32_t used;  // 1 when this record is taken
  uint32_t owner_uid;
  uint64_t generation;
  uint32_t world_size;
  uint32_t block_tokens;
  uint32_t num_groups;
  uint8_t group_kind[16];
  uint32_t window_blocks[16];
  uint32_t name_bytes;
  char name[256];
  uint8_t reserved[144];
};
static_assert(sizeof(NamespaceRecord) == 512);

// One page of a region, all of one slot size. 32 bytes.
struct PageRecord {
  uint64_t slot_bytes;  // 0: empty
  uint64_t offset;      // in the region
  uint32_t region;
  uint32_t numa_node;
  uint32_t ready;  // 1 when the memory is backed
  uint32_t reserved;
};
static_assert(sizeof(PageRecord) == 32);

// Start of the metadata file, 4096 bytes; then the namespace records, the page records and the slot
// headers, each at the offset named here. Page p owns headers [p*slots_per_page,
// (p+1)*slots_per_page).
struct PoolHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;  // 4096
  uint64_t page_bytes;
  uint64_t min_slot_bytes;
  uint32_t num_pages;
  uint32_t slots_per_page;  // page_bytes / min_slot_bytes
  uint32_t num_regions;
  uint32_t num_namespaces;  // capacity
  uint64_t namespaces_offset;
  uint64_t pages_offset;
  uint64_t slots_offset;
  uint64_t file_bytes;
  uint64_t server_epoch;  // of the last server that wrote here
  uint64_t region_bytes[64];
  uint8_t reserved[4096 - 88 - 64 * 8];
};
static_assert(sizeof(PoolHeader) == 4096);

inline void StoreState(SlotHeader* header, SlotState state) {
  std::atomic_ref<uint32_t>(header->state)
      .store(static_cast<uint32_t>(state), std::memory_order_release);
}
inline SlotState LoadState(const SlotHeader& header) {
  return static_cast<SlotState>(std::atomic_ref<uint32_t>(const_cast<uint32_t&>(header.state))
                                    .load(std::memory_order_acquire));
}

// Writes header_check: after the last other field but `state` is set, and again after the checksum
// was set. Bytes [0, 8) take no part, so state changes need no new seal.
void SealHeader(SlotHeader* header);
// Whether header_check agrees with the bytes: false for a header torn by a crash.
bool HeaderHolds(const SlotHeader& header);

}  // namespace headrace::wire
