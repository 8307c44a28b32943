// What the core counts. Plain numbers; the core's thread writes, the server copies them out.
#pragma once

#include <cstdint>

namespace headrace::engine {

struct Stats {
  // Gauges.
  uint64_t ready_bytes = 0;  // of pages that are backed
  uint64_t used_bytes = 0;   // of slots that hold or receive a part
  uint64_t live_bytes = 0;   // payload of parts of visible blocks
  uint64_t leased_bytes = 0;
  uint64_t blocks_visible = 0;
  uint64_t blocks_hidden = 0;
  uint64_t sessions = 0;
  uint64_t registrations = 0;
  uint64_t namespaces = 0;
  uint64_t leases = 0;
  uint64_t handles = 0;
  uint64_t requests_waiting = 0;  // saves and loads with work to hand out
  uint64_t copies_in_flight = 0;  // blocks at movers

  // Counters.
  uint64_t queries = 0, query_blocks = 0, query_hit_blocks = 0;
  uint64_t sliced_queries = 0, sliced_walks = 0;  // went on with a later Apply; in a walk of groups
  uint64_t saves = 0, saved_blocks = 0, saved_bytes = 0;
  uint64_t deduped_blocks = 0, refused_blocks = 0, failed_save_blocks = 0;
  uint64_t loads = 0, loaded_blocks = 0, loaded_bytes = 0, failed_loads = 0, cancelled_loads = 0;
  uint64_t evicted_blocks = 0, evicted_bytes = 0, evictions_needed_bytes = 0;
  uint64_t cleared_blocks = 0, purged_blocks = 0, hidden_expired_blocks = 0;
  uint64_t leases_granted = 0, leases_released = 0, leases_expired = 0, leases_hung_up = 0;
  uint64_t late_completions = 0;  // for a ticket whose request was over already
  uint64_t limit_hits = 0;        // sum over all limits
  uint64_t limit_sessions = 0, limit_registrations = 0, limit_namespaces = 0, limit_leases = 0;
  uint64_t limit_handles = 0, limit_requests = 0, limit_hidden = 0, limit_instance_bytes = 0;
  uint64_t limit_tenant_bytes = 0, limit_leased = 0, limit_save_rate = 0, limit_instances = 0;
  uint64_t limit_purges = 0;
  uint64_t reclaimed_pages = 0;  // taken from one slot size for another
};

}  // namespace headrace::engine
