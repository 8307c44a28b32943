// Every limit of the server's own part, with its default. server/options.cc has an option for each.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "wire/control.h"

namespace headrace::server {

struct SessionLimits {
  uint64_t max_frame_bytes = wire::kMaxFrameBytes;
  uint64_t max_output_bytes = 32ull << 20;  // replies that a client has not read yet
  uint32_t frames_per_turn = 16;            // of one session, before others have their turn
  uint32_t max_connections = 1280;          // sessions, and connections that said no hello yet
  Duration hello_timeout = seconds(10);     // from the connection to its first message
};

struct CopyLimits {
  uint32_t mover_threads = 1;
  uint32_t mover_ring_blocks = 16384;
  uint64_t mover_chunk_bytes = 256ull << 10;
};

struct DrainLimits {
  Duration drain_copies = seconds(2);        // running copies may end by themselves
  Duration drain_fence = milliseconds(500);  // then they are cancelled and fenced
};

struct EventLimits {
  uint32_t queue_events = 65536;          // from the core to the publisher
  uint64_t queue_bytes = 64ull << 20;     // token ids in them
  uint32_t buffer_steps = 10000;          // messages of a topic kept for replay
  uint64_t buffer_bytes = 256ull << 20;   // of all topics
  uint32_t batch_blocks = 1024;           // in one message
  Duration window = milliseconds(2);      // from an event to its message
  Duration heartbeat = seconds(30);       // a quiet topic's messages without events; 0: none
  uint32_t subscriber_queue = 100000;     // messages that wait for one subscriber
  uint32_t requests = 64;                 // replays and snapshots that wait or run
  Duration answer_timeout = seconds(10);  // for a peer that does not take its answers
};

}  // namespace headrace::server
