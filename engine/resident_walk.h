// All that listeners of events believe to be there, found by looking at one record after the other.
// For a listener that lost events: while the walk goes on, slice by slice, events go on too, and
// whoever applies both in the order in which they came ends with the truth. The core's thread.
#pragma once

#include <functional>

#include "engine/cache.h"

namespace headrace::engine {

using ResidentVisitor = std::function<void(const BlockStored&)>;

// Looks at `count` records from `from` on. Returns where to go on, kNone behind the last record.
BlockIndex WalkResident(const BlockCache& cache, BlockIndex from, uint32_t count,
                        const ResidentVisitor& visit);

}  // namespace headrace::engine
