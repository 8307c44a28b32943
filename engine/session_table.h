// Sessions and their registrations: who is connected, to which namespaces, with which buffers.
// Plain records and look-ups; what ends with a session is decided in closing.cc.
// The core's thread.
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/context.h"
#include "engine/handle_store.h"
#include "engine/intrusive_list.h"
#include "engine/slab.h"
#include "engine/transfer.h"

namespace headrace::engine {

// One group of a rank's registration.
struct GroupBinding {
  BufferId buffer = 0;
  uint64_t num_blocks = 0;  // of the engine's buffer
  SizeClass size_class = 0;
  wire::GroupKind kind = wire::GroupKind::kFull;
};

struct Session;

struct Registration {
  uint32_t id = 0;
  Session* session = nullptr;
  NamespaceId name_space = 0;
  uint32_t rank = 0;
  std::vector<GroupBinding> groups;  // empty: a scheduler
  uint32_t transfers = 0;            // saves and loads that are not answered; of them, not ending:
  IntrusiveList<Transfer, &Transfer::in_registration> running;
  bool closing = false;
  bool answer = false;  // the Unregister that closes it waits for a reply
  RequestId close_request = 0;
  Link<Registration> in_session;
  Link<Registration> in_closing;
};

struct Session {
  explicit Session(std::pmr::memory_resource* pool) : by_request(pool) {}

  SessionId id = 0;
  InstanceId instance = 0;
  uint32_t uid = 0;
  bool closing = false;
  IntrusiveList<Registration, &Registration::in_session> registrations;  // closing ones last
  std::pmr::unordered_multimap<RequestId, Transfer*> by_request;
  uint32_t first_lease = kNone;
  uint32_t leases = 0;
  HandleStore handles;
  Link<Session> in_closing;
};

class SessionTable {
 public:
  explicit SessionTable(Context* context);

  // Null when there is none with this number, or it is closing.
  Session* Find(SessionId id);
  Session* FindAny(SessionId id);
  // REQUIRES: !FindAny(id). Fails with kLimit.
  Result<Session*> Add(SessionId id, InstanceId instance, uint32_t uid);
  void Erase(Session* session);  // REQUIRES: nothing of it is left

  Result<Registration*> AddRegistration(Session* session);
  // Null unless the registration is the session's and is not closing.
  Registration* FindRegistration(const Session* session, uint32_t id);
  void EraseRegistration(Registration* registration);

  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& entry : sessions_) visit(*entry.second);
  }

 private:
  Context* context_;
  std::unordered_map<SessionId, std::unique_ptr<Session>> sessions_;
  std::unordered_map<uint32_t, std::unique_ptr<Registration>> registrations_;
  uint32_t last_registration_ = 0;
};

}  // namespace headrace::engine
