// Every number that the core, the mover and the sessions count, with the name and the words under
// which metrics and JSON show it. One table, so that no counter is shown in one place only.
#pragma once

#include <span>

#include "server/snapshot.h"

namespace headrace::server {

struct StatRow {
  const char* name;  // "engine_queries": the metric is headrace_<name>, with _total for a counter
  bool counter;      // it never falls
  double (*value)(const Snapshot& snapshot);
  const char* help;
};
std::span<const StatRow> StatRows();

// How often each limit was reached, by the limit's option name.
struct LimitHitRow {
  const char* name;
  double (*value)(const Snapshot& snapshot);
};
std::span<const LimitHitRow> LimitHitRows();

}  // namespace headrace::server
