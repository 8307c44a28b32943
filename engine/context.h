// What every part of the core needs during one Apply: limits, counters, the time, the effects, and
// how much work may still be done. The core's thread.
#pragma once

#include <memory_resource>

#include "engine/effect.h"
#include "engine/limits.h"
#include "engine/stats.h"

namespace headrace::engine {

struct Context {
  Limits limits;
  Stats stats;
  Time now{};
  Effects* effects = nullptr;  // of the running Apply

  // Work left in this Apply, in units of about a microsecond. Long work stops when it is spent and
  // goes on with the next Apply; what was begun may overdraw a little.
  int units = 0;
  bool spent() const { return units <= 0; }
  void Spend(int amount) { units -= amount; }

  // For small records that come and go with requests: keeps what it got from the machine, so that
  // no Apply pays for tidying the heap.
  std::pmr::unsynchronized_pool_resource pool;

  int64_t now_nanos() const { return ToWire(now); }
};

}  // namespace headrace::engine
