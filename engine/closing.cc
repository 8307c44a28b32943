#include "engine/closing.h"

namespace headrace::engine {

Closing::Closing(const Parts& parts) : p_(parts) {
  p_.transfers->OnIdle([this](Registration* registration) {
    if (!registration->closing) return;
    Session* session = registration->session;
    Finish(registration);
    FinishIfGone(session);
  });
}

void Closing::CloseSession(Session* session) {
  HR_CHECK(!session->closing);
  session->closing = true;
  p_.queries->DropSession(session);
  sessions_.PushBack(session);
  RunBackground();
}

void Closing::CloseRegistration(Registration* registration, RequestId request) {
  registration->answer = true;
  registration->close_request = request;
  Begin(registration);
  RunBackground();
}

void Closing::Begin(Registration* registration) {
  HR_CHECK(!registration->closing);
  registration->closing = true;
  auto& all = registration->session->registrations;
  all.Erase(registration);
  all.PushBack(registration);
  if (registration->transfers == 0) {
    Finish(registration);
  } else {
    registrations_.PushBack(registration);
  }
}

void Closing::Finish(Registration* registration) {
  HR_CHECK(registration->closing && registration->transfers == 0);
  Session* session = registration->session;
  for (const GroupBinding& group : registration->groups) {
    p_.context->effects->dropped_buffers.push_back({group.buffer});
    p_.slab->CloseClass(group.size_class);
  }
  if (registration->answer && !session->closing) {
    p_.context->effects->replies.push_back({.session = session->id,
                                            .request = registration->close_request,
                                            .type = wire::MessageType::kUnregister});
  }
  p_.namespaces->Leave(registration->name_space);
  if (registration->in_closing.linked) registrations_.Erase(registration);
  p_.sessions->EraseRegistration(registration);
}

// One piece of work; false when all of the session's is begun.
bool Closing::StepSession(Session* session) {
  p_.context->Spend(1);
  Registration* registration = session->registrations.front();
  if (registration != nullptr && !registration->closing) {
    Begin(registration);
    return true;
  }
  if (p_.leasing->EndOneOf(session)) return true;
  return session->handles.DropOne(p_.context);
}

void Closing::RunBackground() {
  while (!sessions_.empty() && !p_.context->spent()) {
    Session* session = sessions_.front();
    if (StepSession(session)) continue;
    sessions_.Erase(session);
    FinishIfGone(session);
  }
  while (!registrations_.empty() && !p_.context->spent()) {
    Registration* registration = registrations_.front();
    if (registration->running.empty()) {
      registrations_.Erase(registration);
    } else {  // the last one may end the registration with it
      p_.transfers->End(registration->running.front(), Errc::kCancelled,
                        "the registration was closed, or its client is gone");
    }
  }
}

void Closing::FinishIfGone(Session* session) {
  if (!session->closing || session->in_closing.linked) return;
  if (!session->registrations.empty() || !session->by_request.empty()) return;
  p_.context->effects->gone.push_back({session->id});
  p_.quotas->Leave(session->instance);
  p_.sessions->Erase(session);
}

}  // namespace headrace::engine
