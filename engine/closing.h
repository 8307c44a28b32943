// Ends of registrations and sessions: copies fenced, leases and handles gone, then the buffers
// dropped, then the session. By slices, since a session may hold thousands of each.
// The core's thread.
#pragma once

#include "engine/leasing.h"
#include "engine/prefix_query.h"
#include "engine/transfers.h"

namespace headrace::engine {

class Closing {
 public:
  struct Parts {
    Context* context = nullptr;
    Slab* slab = nullptr;
    NamespaceTable* namespaces = nullptr;
    Quotas* quotas = nullptr;
    SessionTable* sessions = nullptr;
    Leasing* leasing = nullptr;
    Transfers* transfers = nullptr;
    PrefixQuery* queries = nullptr;
  };
  explicit Closing(const Parts& parts);

  void CloseSession(Session* session);
  // Answered with a reply to `request` when its buffers are dropped.
  void CloseRegistration(Registration* registration, RequestId request);

  void RunBackground();
  bool HasBackground() const { return !sessions_.empty() || !registrations_.empty(); }

 private:
  void Begin(Registration* registration);
  bool StepSession(Session* session);
  void Finish(Registration* registration);
  void FinishIfGone(Session* session);

  Parts p_;
  IntrusiveList<Session, &Session::in_closing> sessions_;  // with something left to end
  IntrusiveList<Registration, &Registration::in_closing> registrations_;  // with copies
};

}  // namespace headrace::engine
