// What happens to the core: requests of clients, completions of movers, ready pages, time.
// Views inside are read during Apply only. Plain values; the core's thread.
#pragma once

#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/types.h"

namespace headrace::engine {

// Answered only when it fails: a Reply of type kHello with request 0; then there is no session.
struct OpenSession {
  SessionId session = 0;
  std::string_view instance;
  std::string_view tenant;
  uint32_t uid = 0;  // by SO_PEERCRED
};
// The client hung up or is put out: its leases end, its copies are cancelled and fenced.
struct CloseSession {
  SessionId session = 0;
};

// `buffers[g]` is the mover's name for group g's buffer and layout; empty for a scheduler.
struct Register {
  SessionId session = 0;
  RequestId request = 0;
  const wire::Register* spec = nullptr;
  std::vector<BufferId> buffers;
};
struct Unregister {
  SessionId session = 0;
  RequestId request = 0;
  uint32_t registration = 0;
};
struct Query {
  SessionId session = 0;
  RequestId request = 0;
  const wire::Query* query = nullptr;
};
struct Save {
  SessionId session = 0;
  RequestId request = 0;
  const wire::Save* save = nullptr;
  // Keeps *save and the frame it points into alive until the save is answered. Null: the core
  // copies what it needs, which takes time for long lists.
  std::shared_ptr<const void> owner;
};
struct Load {
  SessionId session = 0;
  RequestId request = 0;
  const wire::Load* load = nullptr;
};
struct Release {
  SessionId session = 0;
  const wire::Release* release = nullptr;
};
struct DropHandle {
  SessionId session = 0;
  const wire::DropHandle* drop = nullptr;
};
struct Clear {
  SessionId session = 0;
  RequestId request = 0;
  uint32_t registration = 0;
};
struct Purge {
  SessionId session = 0;
  RequestId request = 0;
  uint32_t registration = 0;
  BlockHash hash;
};
struct Cancel {
  SessionId session = 0;
  RequestId target = 0;
};

struct Completion {
  wire::CopyDone done;
};  // from a mover
struct PageReady {
  PageIndex page = 0;
};  // its memory is backed now
struct Tick {};  // time passed; also one slice of waiting work

using Command =
    std::variant<OpenSession, CloseSession, Register, Unregister, Query, Save, Load, Release,
                 DropHandle, Clear, Purge, Cancel, Completion, PageReady, Tick>;

}  // namespace headrace::engine
