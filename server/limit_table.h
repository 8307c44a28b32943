// Every limit with its option's name, bounds and help, once: the option table and the metrics are
// two visitors of this list. Main thread.
#pragma once

#include <limits>

#include "server/options.h"

namespace headrace::server {

// `visit` has the members of OptionTable: Group, Share, Size, Number, Time.
template <typename Visitor>
void VisitEngineLimits(engine::Limits* limits, Visitor* visit) {
  constexpr uint32_t kMany = 1u << 30;
  visit->Group("Limits of the cache");
  visit->Share("high-water", &limits->high_water,
               "used share of the pool at which eviction starts");
  visit->Share("low-water", &limits->low_water, "share at which background eviction stops");
  visit->Size("instance-max-bytes", &limits->instance_max_bytes, "of one instance; 0: no cap");
  visit->Size("tenant-max-bytes", &limits->tenant_max_bytes, "of one tenant; 0: no cap");
  visit->Share("instance-max-leased", &limits->instance_max_leased,
               "share of the pool that one instance may hold under leases");
  visit->Number("instance-max-saves-per-second", &limits->instance_max_saves_per_second,
                uint64_t{0}, std::numeric_limits<uint64_t>::max(),
                "blocks that one instance may save a second; 0: no cap");
  visit->Number("max-sessions", &limits->max_sessions, 1u, kMany, "connections that said hello");
  visit->Number("max-registrations", &limits->max_registrations, 1u, kMany, "of all sessions");
  visit->Number("max-namespaces", &limits->max_namespaces, 1u, 65536u, "kept at a time");
  visit->Number("max-leases-per-session", &limits->max_leases_per_session, 1u, kMany, "held");
  visit->Number("max-handles-per-session", &limits->max_handles_per_session, 1u, kMany,
                "prefixes kept for a client's next query");
  visit->Size("max-handle-bytes-per-session", &limits->max_handle_bytes_per_session,
              "hashes in those prefixes");
  visit->Number("max-requests-per-session", &limits->max_requests_per_session, 1u, kMany,
                "saves and loads in flight or waiting");
  visit->Number("max-hidden-blocks", &limits->max_hidden_blocks, 1u, kMany,
                "blocks that wait for their parent");
  visit->Time("max-lease", &limits->max_lease, "a lease without a load in flight ends after this");
  visit->Time("max-transfer", &limits->max_transfer, "of a save or load that names no deadline");
  visit->Time("max-hidden", &limits->max_hidden, "that a block waits for its parent");
  visit->Number("slice-units", &limits->slice_units, 1u, 65536u,
                "of about a microsecond: work of any kind in one step of the core");
  visit->Number("slice-blocks", &limits->slice_blocks, 1u, 65536u,
                "blocks of a save or load in one step of the core");
  visit->Number("slice-evictions", &limits->slice_evictions, 1u, 65536u, "blocks in one step");
  visit->Number("slice-sweep", &limits->slice_sweep, 1u, 1u << 20,
                "records that a clear looks at in one step");
  visit->Number("max-copies-in-flight", &limits->max_copies_in_flight, 1u, kMany,
                "blocks handed to movers and not answered");
}

template <typename Visitor>
void VisitServerLimits(ServerOptions* options, Visitor* visit) {
  constexpr uint32_t kMany = 1u << 30;
  visit->Group("Limits of connections");
  visit->Size("max-frame", &options->session.max_frame_bytes, "of one message");
  visit->Size("max-output", &options->session.max_output_bytes,
              "replies that a client may leave unread");
  visit->Number("frames-per-turn", &options->session.frames_per_turn, 1u, 65536u,
                "of one session, before the others have their turn");
  visit->Number("max-connections", &options->session.max_connections, 1u, kMany,
                "sessions, and connections that said no hello yet");
  visit->Time("hello-timeout", &options->session.hello_timeout, "for a connection's first message");
  visit->Number("http-max-connections", &options->http.max_connections, 1u, kMany, "at a time");
  visit->Size("http-max-body", &options->http.max_body_bytes, "of a request");
  visit->Number("http-idle-seconds", &options->http.idle_seconds, 1u, 86400u,
                "until an idle connection is closed");
  visit->Group("Limits of copies");
  visit->Number("mover-threads", &options->copy.mover_threads, 1u, 256u, "that copy");
  visit->Number("mover-ring-blocks", &options->copy.mover_ring_blocks, 64u, 1u << 22,
                "blocks that wait at the mover");
  visit->Size("mover-chunk", &options->copy.mover_chunk_bytes,
              "copied between two looks at cancels");
  visit->Time("drain-copies", &options->drain.drain_copies,
              "that running copies get when the server stops");
  visit->Time("drain-fence", &options->drain.drain_fence, "that cancelled copies get after that");
}

template <typename Visitor>
void VisitEventLimits(EventLimits* limits, Visitor* visit) {
  constexpr uint32_t kMany = 1u << 30;
  visit->Group("Limits of events");
  visit->Number("events-queue", &limits->queue_events, 1024u, 1u << 24,
                "events on their way to the publisher; beyond they are dropped, and told");
  visit->Size("events-queue-bytes", &limits->queue_bytes, "token ids in that queue");
  visit->Number("events-buffer-steps", &limits->buffer_steps, 1u, kMany,
                "messages of a topic kept for replay");
  visit->Size("events-buffer-bytes", &limits->buffer_bytes, "messages of all topics kept for it");
  visit->Number("events-batch-blocks", &limits->batch_blocks, 1u, 65536u, "in one message");
  visit->Time("events-window", &limits->window, "that events wait for others to go with them");
  visit->Time("events-heartbeat", &limits->heartbeat,
              "between messages without events of a quiet topic; 0: none");
  visit->Number("events-subscriber-queue", &limits->subscriber_queue, 1u, kMany,
                "messages that one subscriber may leave unread");
  visit->Number("events-requests", &limits->requests, 1u, kMany,
                "replays and snapshots that wait or run");
  visit->Time("events-answer-timeout", &limits->answer_timeout,
              "for a peer that does not take its answers");
}

template <typename Visitor>
void VisitIndexLimits(indexer::IndexerLimits* limits, Visitor* visit) {
  constexpr uint32_t kMany = 1u << 30;
  visit->Group("Limits of the index");
  visit->Number("index-threads", &limits->threads, 1u, 256u,
                "that read, tokenize and hash requests; --index-config may say otherwise");
  visit->Number("index-max-waiting", &limits->max_waiting, 1u, kMany,
                "requests that wait for them");
  visit->Number("index-max-tokens", &limits->api.max_tokens, 1u, kMany, "of one prompt");
  visit->Number("index-max-pods", &limits->api.max_pods, 1u, kMany, "of one filter");
  visit->Size("index-prefix-bytes", &limits->prefix_bytes,
              "prompts' begins kept with their tokens, for each model");
  visit->Number("index-max-pending", &limits->max_pending, 1u, kMany,
                "events that wait for what they build on");
  visit->Size("index-max-pending-bytes", &limits->max_pending_bytes, "these events");
  visit->Time("index-pending-age", &limits->pending_age, "that such an event waits");
  visit->Number("index-max-speculative", &limits->max_speculative, 1u, kMany,
                "blocks that a router expects at a pod");
}

}  // namespace headrace::server
