// Makes room: for one slot on demand, down to the low water mark in the background, and whole pages
// of one slot size for another. Frees what is needed, not more. The core's thread.
#pragma once

#include <array>
#include <vector>

#include "engine/cache.h"

namespace headrace::engine {

class Evictor {
 public:
  struct Parts {
    Context* context = nullptr;
    Slab* slab = nullptr;
    BlockCache* cache = nullptr;
    NamespaceTable* namespaces = nullptr;
    Quotas* quotas = nullptr;
    EvictionPolicy* policy = nullptr;
  };
  explicit Evictor(const Parts& parts);

  enum class Room : uint8_t {
    kReady,    // TakeSlot will succeed
    kLater,    // the Apply is spent; asking again goes on
    kNothing,  // nothing that may go
  };
  Room MakeRoom(SizeClass size_class);
  // Evicts one block that counts against the cap that `over` names, of the coldest few.
  bool EvictOwn(SizeClass size_class, InstanceId instance, Quotas::Over over);

  void RunBackground();
  bool HasBackground() const { return above_water_ || drain_page_ != kNone; }

 private:
  bool EvictOneOf(SizeClass size_class, bool* more);
  bool DropHiddenOf(SizeClass size_class, Duration older_than);
  void WatchWater();
  void RunWater();
  // The coldest block of all size classes but those in `skip`, and its class; kNone: none.
  struct Coldest {
    BlockIndex block = kNone;
    SizeClass size_class = kNone;
    bool more = false;  // the search is not at its end
  };
  Coldest FindColdest(ClassMask skip);
  bool StartDrain(SizeClass for_class);
  void Drain(PageIndex page);
  void RunDrain();
  bool NextDrainBlock();
  bool DrainLeaf(BlockIndex leaf);
  void StopDrain();
  void Rebalance(SizeClass size_class, int64_t victim_access);

  Parts p_;
  bool above_water_ = false;
  Time water_retry_{};

  PageIndex drain_page_ = kNone;
  uint32_t drain_slot_ = 0;  // of the page, next to look at
  SubtreeWalk drain_walk_;
  PageIndex drain_search_ = 0;
  std::vector<Time> drain_again_;                // per page: not before
  std::array<uint32_t, kMaxClasses> pressed_{};  // evictions on demand since the last look around
};

}  // namespace headrace::engine
