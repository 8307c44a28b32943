// Slots: a page of a region serves one slot size at a time, empty pages go back to all. A slot
// holds one part (group, rank) of one block. Also the in-core record of every slot; the header that
// outlives the server is in PoolMeta.
// Never touches the bytes of a slot. The core's thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/pool_meta.h"
#include "engine/stats.h"
#include "engine/types.h"
#include "engine/zeroed_array.h"
#include "wire/copy.h"

namespace headrace::engine {

using SizeClass = uint32_t;  // pages of one slot size
using ClassMask = uint32_t;  // one bit a size class
inline constexpr uint32_t kMaxClasses = 32;

enum class SlotUse : uint8_t { kFree = 0, kFilling = 1, kComplete = 2 };

struct SlotRecord {
  SlotIndex next;    // next part of the block; next free slot of the page
  BlockIndex block;  // whose part it is
  InstanceId owner;  // charged for the bytes
  uint16_t rank;
  uint8_t group;
  SlotUse use;
};
static_assert(sizeof(SlotRecord) == 16);

class Slab {
 public:
  // `meta` and `stats` outlive the slab.
  static Result<Slab> Create(PoolMeta* meta, Stats* stats);

  // The class of slots that hold `payload_bytes`, with one more user. Fails with kInvalid when a
  // page cannot hold one slot, with kLimit when kMaxClasses sizes are in use.
  Result<SizeClass> OpenClass(uint64_t payload_bytes);
  void CloseClass(SizeClass size_class);

  // The page's memory is backed. Ignored when it was told before.
  void AddPage(PageIndex page);

  // kNone when the class has no free slot and no page is empty. Pages of `numa_node` come first
  // when an empty one is taken; kNone: any.
  SlotIndex Take(SizeClass size_class, uint32_t numa_node = kNone);
  void Give(SlotIndex slot);  // REQUIRES: taken, and no copy of it in flight
  bool HasRoom(SizeClass size_class) const;

  // No slot is taken from a draining page; it goes back to all when its last slot is given.
  void StartDrain(PageIndex page);
  void StopDrain(PageIndex page);

  SlotRecord& record(SlotIndex slot) { return records_[slot]; }
  const SlotRecord& record(SlotIndex slot) const { return records_[slot]; }
  wire::BlockCopy Place(SlotIndex slot, uint32_t engine_block) const;
  SizeClass class_of(SlotIndex slot) const { return pages_[page_of(slot)].size_class; }
  uint64_t slot_bytes(SizeClass size_class) const { return classes_[size_class].slot_bytes; }
  uint64_t bytes_of(SlotIndex slot) const { return slot_bytes(class_of(slot)); }
  PageIndex page_of(SlotIndex slot) const { return slot / slots_per_page_; }
  SlotIndex first_slot(PageIndex page) const { return page * slots_per_page_; }
  uint64_t page_bytes() const { return page_bytes_; }
  uint32_t num_pages() const { return static_cast<uint32_t>(pages_.size()); }
  uint32_t num_slots() const { return static_cast<uint32_t>(records_.size()); }
  uint32_t num_classes() const { return num_classes_; }
  uint32_t slots_of_page(SizeClass size_class) const { return classes_[size_class].slots; }
  uint32_t pages_of(SizeClass size_class) const { return classes_[size_class].pages; }

  struct PageView {
    SizeClass size_class = kNone;  // kNone: empty, or not backed yet
    uint32_t used = 0;
    uint32_t touched = 0;  // slots of it that were ever taken
    bool ready = false;
    bool draining = false;
  };
  PageView page(PageIndex page) const;
  uint32_t empty_pages() const { return empty_pages_; }

  void CheckPages() const;

 private:
  struct Page {
    SizeClass size_class = kNone;
    uint32_t used = 0;
    uint32_t touched = 0;  // slots [0, touched) were taken at least once
    SlotIndex free_head = kNone;
    PageIndex prev = kNone, next = kNone;  // in the class's list of pages with room, or empty ones
    bool listed = false;
    bool ready = false;
    bool draining = false;
  };
  struct Class {
    uint64_t slot_bytes = 0;
    uint32_t slots = 0;  // of one page
    uint32_t users = 0;
    uint32_t pages = 0;
    PageIndex with_room = kNone;
  };

  uint64_t CheckUsedPage(PageIndex index) const;
  bool TakePage(SizeClass size_class, uint32_t numa_node);
  void List(PageIndex* head, PageIndex page);
  void Unlist(PageIndex* head, PageIndex page);
  bool HasFree(const Page& page) const { return page.used < classes_[page.size_class].slots; }

  PoolMeta* meta_ = nullptr;
  Stats* stats_ = nullptr;
  uint64_t page_bytes_ = 0;
  uint64_t min_slot_bytes_ = 0;
  uint32_t slots_per_page_ = 1;
  uint32_t num_classes_ = 0;
  uint32_t empty_pages_ = 0;
  PageIndex empty_ = kNone;
  std::array<Class, kMaxClasses> classes_{};
  std::vector<Page> pages_;
  ZeroedArray<SlotRecord> records_;
};

}  // namespace headrace::engine
