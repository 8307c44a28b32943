// What the core wants done: replies, copies, fences, events. The server carries them out in order.
// Plain values; the core's thread.
#pragma once

#include <variant>
#include <vector>

#include "engine/types.h"

namespace headrace::engine {

struct Reply {
  SessionId session = 0;
  RequestId request = 0;
  wire::MessageType type = wire::MessageType::kPing;
  Error error{Errc::kOk, 0, ""};
  wire::ReplyBody body;
};

// One ticket: blocks of one buffer, one direction. Answered by exactly one Completion.
struct CopyJob {
  Ticket ticket = 0;
  wire::Direction direction = wire::Direction::kSave;
  BufferId buffer = 0;
  uint32_t gate = wire::kNoGate;  // in the gate page of the session that owns `buffer`
  Time deadline;
  std::vector<wire::BlockCopy> blocks;
};
struct CancelJob {
  Ticket ticket = 0;
};

// No copy of this buffer is in flight any more, and none will start: it may be unmapped.
struct DropBuffer {
  BufferId buffer = 0;
};
// Everything of this session is gone; its number will not appear again.
struct SessionGone {
  SessionId session = 0;
};

enum class RemoveReason : uint8_t { kEvicted, kCleared, kPurged, kFailed };

// A block became visible, or stopped being so.
struct BlockStored {
  NamespaceId name_space = 0;
  BlockHash hash;
  BlockHash parent;
  uint32_t depth = 0;
  uint64_t lora_id = 0;
  uint64_t salt_id = 0;
  std::vector<uint32_t> tokens;  // when the save carried them
};
struct BlockRemoved {
  NamespaceId name_space = 0;
  BlockHash hash;
  RemoveReason reason{};
};
using BlockEvent = std::variant<BlockStored, BlockRemoved>;

struct Effects {
  std::vector<Reply> replies;
  std::vector<CopyJob> copies;
  std::vector<CancelJob> cancels;
  std::vector<DropBuffer> dropped_buffers;
  std::vector<SessionGone> gone;
  // In the order in which it happened. Of one hash in a namespace stored and removed take turns.
  std::vector<BlockEvent> events;

  void Clear();  // keeps capacity
};

}  // namespace headrace::engine
