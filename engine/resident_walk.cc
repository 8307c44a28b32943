#include "engine/resident_walk.h"

#include <algorithm>

namespace headrace::engine {

BlockIndex WalkResident(const BlockCache& cache, BlockIndex from, uint32_t count,
                        const ResidentVisitor& visit) {
  const BlockIndex end = cache.table().touched();
  const BlockIndex stop = from >= end ? end : from + std::min(count, end - from);
  for (BlockIndex index = from; index < stop; ++index) {
    const Block& block = cache[index];
    if (!block.is(kInUse) || block.is(kZombie) || !block.visible()) continue;
    // Cleared, and its place taken by a block of the same hash that this walk finds or has found.
    if (block.is(kToldGone)) continue;
    BlockStored event{.name_space = block.name_space, .hash = block.Hash(), .depth = block.depth};
    if (block.parent != kNone) event.parent = cache[block.parent].Hash();
    visit(event);
  }
  return stop == end ? kNone : stop;
}

}  // namespace headrace::engine
