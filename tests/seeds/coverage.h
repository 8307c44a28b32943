// How often the histories reached the states that they are for. A zero in `kRequired` after a run
// of many seeds means that the simulation lost its teeth, and fails the run. Pure values.
#pragma once

#include <cstdint>
#include <string>

namespace headrace::seeds {

struct Coverage {
  uint64_t events = 0;
  uint64_t queries = 0, hits = 0, hit_blocks = 0, handle_queries = 0, bisections_checked = 0;
  uint64_t sliced_queries = 0, sliced_walks = 0;
  uint64_t saves = 0, saved_blocks = 0, deduped = 0, refused = 0;
  uint64_t loads = 0, loaded_blocks = 0, bytes_checked = 0;
  uint64_t evictions = 0, evictions_beside_leases = 0, page_reclaims = 0, hidden = 0,
           window_loads = 0;
  uint64_t cancelled_loads = 0, revoked_gates = 0, revoked_saves = 0, fences_waited = 0;
  uint64_t client_crashes = 0, client_crashes_mid_copy = 0;
  uint64_t server_crashes = 0, server_crashes_mid_copy = 0;
  uint64_t mover_kills = 0, mover_kills_mid_copy = 0;
  uint64_t freezes = 0, frozen_mid_chunk = 0, mover_deadlines = 0;
  uint64_t lease_expiries = 0, leases_hung_up = 0, late_completions = 0, stale_replies = 0;
  uint64_t clears = 0, purges = 0, purged_blocks = 0, cleared_blocks = 0;
  uint64_t permission_refusals = 0, limit_hits = 0, gone_loads = 0;
  uint64_t limit_hidden = 0, limit_instance_bytes = 0, limit_save_rate = 0, limit_leases = 0;
  uint64_t limit_requests = 0;
  uint64_t index_checks = 0;

  void Add(const Coverage& other);
  std::string Table() const;    // one name and count a line
  std::string Missing() const;  // names of required states that were never reached, or ""
};

}  // namespace headrace::seeds
