// Every limit of the core, with its default. The server has an option and a metric for each.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace headrace::engine {

struct Limits {
  // Memory.
  double high_water = 0.98;          // share of the ready slots in use at which eviction starts
  double low_water = 0.97;           // where background eviction stops
  uint64_t instance_max_bytes = 0;   // 0: no cap
  uint64_t tenant_max_bytes = 0;     // 0: no cap
  double instance_max_leased = 0.5;  // share of the pool that one instance may hold under leases
  uint64_t instance_max_saves_per_second = 0;  // blocks; 0: no cap

  // Objects.
  uint32_t max_sessions = 1024;
  uint32_t max_instances = 16384;  // that have a session, a slot or a lease
  uint32_t max_registrations = 4096;
  uint32_t max_namespaces = 1024;
  uint32_t max_leases_per_session = 16384;
  uint32_t max_handles_per_session = 4096;
  uint64_t max_handle_bytes_per_session = 64ull << 20;
  uint32_t max_requests_per_session = 4096;  // saves and loads in flight or waiting
  uint32_t max_hidden_blocks = 65536;        // waiting for a parent, or for another rank's part
  uint32_t max_purges = 64;                  // subtrees on their way out at a time

  // Time.
  Duration max_lease = seconds(60);  // a lease without a load in flight ends after this
  Duration max_transfer =
      seconds(30);                    // longest deadline of a save or load; also when none is named
  Duration max_hidden = seconds(30);  // a block whose parent does not come
  Duration hidden_grace = seconds(1);  // a hidden block goes before visible ones after this

  // Work in one Apply, so that none takes longer than 100 us.
  uint32_t slice_units = 32;   // of any work: about a microsecond each, records cold
  uint32_t slice_blocks = 32;  // blocks of a save or load
  uint32_t slice_evictions = 32;
  uint32_t slice_sweep = 256;            // block records looked at by a clear
  uint32_t max_copies_in_flight = 8192;  // blocks handed to movers and not answered
};

}  // namespace headrace::engine
