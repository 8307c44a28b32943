#include "server/stat_table.h"

namespace headrace::server {
namespace {

// A captureless lambda that reads one member of the snapshot.
#define HR_STAT(path) [](const Snapshot& s) { return static_cast<double>(s.path); }

constexpr StatRow kRows[] = {
    {"pool_ready_bytes", false, HR_STAT(engine.ready_bytes), "Backed memory of the pool"},
    {"pool_used_bytes", false, HR_STAT(engine.used_bytes), "Slots that hold or receive a part"},
    {"pool_live_bytes", false, HR_STAT(engine.live_bytes), "Payload of visible blocks"},
    {"pool_leased_bytes", false, HR_STAT(engine.leased_bytes), "Payload under leases"},
    {"blocks_visible", false, HR_STAT(engine.blocks_visible), "Blocks that a query can find"},
    {"blocks_hidden", false, HR_STAT(engine.blocks_hidden), "Blocks that wait for their parent"},
    {"sessions", false, HR_STAT(engine.sessions), "Sessions that the core knows"},
    {"registrations", false, HR_STAT(engine.registrations), "Sessions joined to namespaces"},
    {"namespaces", false, HR_STAT(engine.namespaces), "Namespaces"},
    {"leases", false, HR_STAT(engine.leases), "Leases held now"},
    {"handles", false, HR_STAT(engine.handles), "Prefix handles kept now"},
    {"requests_waiting", false, HR_STAT(engine.requests_waiting),
     "Saves and loads with copies to hand out"},
    {"copies_in_flight", false, HR_STAT(engine.copies_in_flight), "Blocks at the mover"},

    {"queries", true, HR_STAT(engine.queries), "Prefix queries"},
    {"query_blocks", true, HR_STAT(engine.query_blocks), "Blocks asked for"},
    {"query_hit_blocks", true, HR_STAT(engine.query_hit_blocks), "Blocks found"},
    {"saves", true, HR_STAT(engine.saves), "Save requests"},
    {"saved_blocks", true, HR_STAT(engine.saved_blocks), "Blocks stored"},
    {"saved_bytes", true, HR_STAT(engine.saved_bytes), "Bytes stored"},
    {"deduped_blocks", true, HR_STAT(engine.deduped_blocks), "Blocks that were there already"},
    {"refused_blocks", true, HR_STAT(engine.refused_blocks), "Blocks without room or over a quota"},
    {"failed_save_blocks", true, HR_STAT(engine.failed_save_blocks),
     "Blocks whose save was cut short"},
    {"loads", true, HR_STAT(engine.loads), "Load requests"},
    {"loaded_blocks", true, HR_STAT(engine.loaded_blocks), "Blocks loaded"},
    {"loaded_bytes", true, HR_STAT(engine.loaded_bytes), "Bytes loaded"},
    {"failed_loads", true, HR_STAT(engine.failed_loads), "Loads that failed"},
    {"cancelled_loads", true, HR_STAT(engine.cancelled_loads), "Loads that were revoked"},
    {"evicted_blocks", true, HR_STAT(engine.evicted_blocks), "Blocks evicted"},
    {"evicted_bytes", true, HR_STAT(engine.evicted_bytes), "Bytes evicted"},
    {"evictions_needed_bytes", true, HR_STAT(engine.evictions_needed_bytes),
     "Bytes that had to be evicted"},
    {"cleared_blocks", true, HR_STAT(engine.cleared_blocks), "Blocks gone by a clear"},
    {"purged_blocks", true, HR_STAT(engine.purged_blocks), "Blocks gone by a purge"},
    {"hidden_expired_blocks", true, HR_STAT(engine.hidden_expired_blocks),
     "Blocks whose parent never came"},
    {"leases_granted", true, HR_STAT(engine.leases_granted), "Leases granted"},
    {"leases_released", true, HR_STAT(engine.leases_released), "Leases given back"},
    {"leases_expired", true, HR_STAT(engine.leases_expired), "Leases that timed out"},
    {"leases_hung_up", true, HR_STAT(engine.leases_hung_up), "Leases ended with their session"},
    {"late_completions", true, HR_STAT(engine.late_completions),
     "Copies that ended after their request"},

    {"mover_save_bytes", true, HR_STAT(mover.save_bytes), "Bytes copied to the pool"},
    {"mover_load_bytes", true, HR_STAT(mover.load_bytes), "Bytes copied from the pool"},
    {"mover_shm_bytes", true, HR_STAT(mover.shm_bytes), "Bytes copied through shared memory"},
    {"mover_cma_bytes", true, HR_STAT(mover.cma_bytes), "Bytes copied by process_vm_readv"},
    {"mover_jobs", true, HR_STAT(mover.jobs), "Copy jobs done"},
    {"mover_cancelled_jobs", true, HR_STAT(mover.cancelled), "Copy jobs cancelled"},
    {"mover_faults", true, HR_STAT(mover.faults), "Copies into memory that is gone"},
    {"mover_restarts", true, HR_STAT(mover.restarts), "Mover processes started again"},
    {"mover_busy_seconds", true,
     [](const Snapshot& s) { return static_cast<double>(s.mover.busy_nanos) / 1e9; },
     "CPU time of copying"},
    {"mover_jobs_running", false, HR_STAT(jobs_running), "Copy jobs at the mover"},
    {"mover_jobs_held", false, HR_STAT(jobs_held), "Copy jobs that the mover has no room for"},
    {"mover_jobs_held_back", true, HR_STAT(carrier.held_back), "Copy jobs that had to wait"},
    {"mover_jobs_refused", true, HR_STAT(carrier.refused), "Copy jobs that the mover refused"},
    {"events_stored", true, HR_STAT(carrier.stored), "Blocks that became visible"},
    {"events_removed", true, HR_STAT(carrier.removed), "Blocks that stopped being visible"},

    {"events_published", true, HR_STAT(events.published), "Blocks told to subscribers"},
    {"events_messages", true, HR_STAT(events.messages), "Messages with events published"},
    {"events_messages_unsent", true, HR_STAT(events.unsent), "Messages the socket did not take"},
    {"events_dropped", true, HR_STAT(events.dropped), "Events that found the queue full"},
    {"events_gaps", true, HR_STAT(events.gaps), "Sequences left out because events were dropped"},
    {"events_replays", true, HR_STAT(events.replays), "Replays answered"},
    {"events_snapshots", true, HR_STAT(events.snapshots), "Snapshots answered"},
    {"events_requests_refused", true, HR_STAT(events.refused), "Replays and snapshots refused"},
    {"events_requests_malformed", true, HR_STAT(events.malformed), "Messages that are no request"},
    {"events_requests_abandoned", true, HR_STAT(events.abandoned),
     "Replays and snapshots whose reader went or stood still"},
    {"events_clients_refused", true, HR_STAT(events.clients_refused), "Clients without a key"},
    {"events_queue_depth", false, HR_STAT(events.queue_depth), "Events that wait to be published"},
    {"events_kept_bytes", false, HR_STAT(events.kept_bytes), "Messages kept for replay"},
    {"events_resident_blocks", false, HR_STAT(events.resident),
     "Blocks that a snapshot would tell"},

    {"connections", false, HR_STAT(connections), "Connections, with and without a hello"},
    {"buffers", false, HR_STAT(buffers), "Engine buffers mapped"},
    {"connections_accepted", true, HR_STAT(sessions.accepted), "Connections accepted"},
    {"connections_refused", true, HR_STAT(sessions.refused), "Connections over max-connections"},
    {"accept_pauses", true, HR_STAT(accept_pauses), "Pauses for want of descriptors"},
    {"frames", true, HR_STAT(sessions.frames), "Messages read"},
    {"frames_malformed", true, HR_STAT(requests.malformed), "Messages that do not decode"},
    {"streams_broken", true, HR_STAT(sessions.bad_streams), "Connections with a framing error"},
    {"sessions_put_out", true, HR_STAT(sessions.put_out), "Sessions ended by the server"},
    {"sessions_without_hello", true, HR_STAT(requests.no_hello),
     "Connections that began otherwise"},
    {"descriptors_unwanted", true, HR_STAT(sessions.closed_descriptors),
     "Descriptors that no message takes"},

    {"core_commands", true, HR_STAT(loop.commands), "Commands applied to the core"},
    {"loop_turns", true, HR_STAT(loop.turns), "Turns of the core's loop"},
    {"loop_busy_seconds", true, HR_STAT(loop.busy_seconds), "Time in turns, without waiting"},
    {"loop_longest_turn_seconds", false, HR_STAT(loop.longest_turn_seconds), "Since the start"},
    {"core_longest_apply_seconds", false, HR_STAT(loop.longest_apply_seconds), "Since the start"},
    {"draining", false, HR_STAT(draining), "1 while the server shuts down"},
};

constexpr LimitHitRow kLimitHits[] = {
    {"all-of-the-cache", HR_STAT(engine.limit_hits)},
    {"max-sessions",
     [](const Snapshot& s) {
       return static_cast<double>(s.engine.limit_sessions + s.requests.limit_sessions);
     }},
    {"max-registrations", HR_STAT(engine.limit_registrations)},
    {"max-namespaces", HR_STAT(engine.limit_namespaces)},
    {"max-leases-per-session", HR_STAT(engine.limit_leases)},
    {"max-handles-per-session", HR_STAT(engine.limit_handles)},
    {"max-requests-per-session", HR_STAT(engine.limit_requests)},
    {"max-hidden-blocks", HR_STAT(engine.limit_hidden)},
    {"instance-max-bytes", HR_STAT(engine.limit_instance_bytes)},
    {"tenant-max-bytes", HR_STAT(engine.limit_tenant_bytes)},
    {"instance-max-leased", HR_STAT(engine.limit_leased)},
    {"instance-max-saves-per-second", HR_STAT(engine.limit_save_rate)},
    {"max-frame", HR_STAT(sessions.bad_streams)},
    {"max-output", HR_STAT(sessions.overflowed)},
    {"max-connections", HR_STAT(sessions.refused)},
    {"hello-timeout", HR_STAT(sessions.hello_timeouts)},
    {"mover-ring-blocks", HR_STAT(carrier.held_back)},
    {"events-queue", HR_STAT(events.losses)},
    {"events-buffer-bytes", HR_STAT(events.forgotten)},
    {"events-requests", HR_STAT(events.refused)},
    {"events-answer-timeout", HR_STAT(events.abandoned)},
};

#undef HR_STAT

}  // namespace

std::span<const StatRow> StatRows() {
  return kRows;
}

std::span<const LimitHitRow> LimitHitRows() {
  return kLimitHits;
}

}  // namespace headrace::server
