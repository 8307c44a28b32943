// Clears and purges: invisible at once, gone by slices. A clear is one more generation; the sweep
// then takes the old generation's leaves, and the cache takes their parents after them. A purge
// takes a subtree from its leaves up; until that is done queries are cut at its root, and saves and
// loads of its namespace wait. The core's thread.
#pragma once

#include <deque>

#include "engine/leasing.h"

namespace headrace::engine {

class Sweeper {
 public:
  struct Parts {
    Context* context = nullptr;
    BlockCache* cache = nullptr;
    NamespaceTable* namespaces = nullptr;
    Leasing* leasing = nullptr;
  };
  explicit Sweeper(const Parts& parts);

  uint64_t Clear(NamespaceId name_space);  // returns the new generation

  // Whether the block was there. Fails with kLimit.
  Result<bool> Purge(NamespaceId name_space, const BlockHash& hash);

  // Subtrees on their way out.
  struct Root {
    BlockKey key;
    uint32_t depth = 0;
    BlockIndex block = kNone;  // pinned
  };
  const std::deque<Root>& roots() const { return roots_; }

  void RunBackground();
  bool HasBackground() const { return !roots_.empty() || sweeping_; }

  void CountPins(std::vector<uint32_t>* pins) const;

 private:
  void RunPurge();
  void RunSweep();

  Parts p_;
  std::deque<Root> roots_;  // the first one is walked
  bool walking_ = false;
  SubtreeWalk walk_;
  bool sweeping_ = false;      // blocks of an older generation may be left
  bool looking_ = false;       // at one record after the other, once around
  bool wrapped_ = false;       // past the last record
  BlockIndex sweep_stop_ = 0;  // where the round began
  BlockIndex sweep_next_ = 0;
};

}  // namespace headrace::engine
