// Which block goes next. The cache tells a policy which blocks could go (visible, nothing follows
// them, nobody needs them); the policy names victims. Calls come from the core's thread; none may
// allocate after Attach or do unbounded work.
#pragma once

#include <functional>
#include <memory>

#include "engine/block_table.h"

namespace headrace::engine {

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // Once, before everything else. `blocks` outlives the policy.
  virtual Status Attach(const BlockTable* blocks) = 0;

  // The block's last_access was set.
  virtual void Touched(BlockIndex block) = 0;
  // The block is evictable now, with parts in these size classes. May be told again.
  virtual void BecameEvictable(BlockIndex block) = 0;
  // Something follows or needs it again, or it is gone.
  virtual void StoppedEvictable(BlockIndex block) = 0;

  struct Pick {
    BlockIndex block = kNone;  // evictable, and with a part in the class
    bool more = false;         // no block yet, but another call may find one
    int units = 1;             // of work done
  };
  // The next one to go in a class. Asked again without a removal, the same one is named.
  virtual Pick NextVictim(SizeClass size_class) = 0;
  // A cold one for which `wanted` holds, among the coldest few: for caps of one instance.
  virtual Pick NextVictimAmong(SizeClass size_class,
                               const std::function<bool(BlockIndex)>& wanted) = 0;
  // Aborts unless this evictable block can be named by NextVictim some time. Slow: for tests.
  virtual void CheckKnown(BlockIndex block) const = 0;
};

// Leaf-only least recently used.
std::unique_ptr<EvictionPolicy> MakeLru();

}  // namespace headrace::engine
