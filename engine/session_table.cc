#include "engine/session_table.h"

namespace headrace::engine {

SessionTable::SessionTable(Context* context) : context_(context) {
  sessions_.reserve(context->limits.max_sessions);
  registrations_.reserve(context->limits.max_registrations);
}

Session* SessionTable::FindAny(SessionId id) {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second.get();
}

Session* SessionTable::Find(SessionId id) {
  Session* session = FindAny(id);
  return session == nullptr || session->closing ? nullptr : session;
}

Result<Session*> SessionTable::Add(SessionId id, InstanceId instance, uint32_t uid) {
  HR_CHECK(!sessions_.contains(id));
  if (sessions_.size() >= context_->limits.max_sessions) {
    ++context_->stats.limit_sessions;
    ++context_->stats.limit_hits;
    return Fail(Errc::kLimit, "max-sessions reached");
  }
  auto session = std::make_unique<Session>(&context_->pool);
  session->id = id;
  session->instance = instance;
  session->uid = uid;
  Session* added = session.get();
  sessions_.emplace(id, std::move(session));
  ++context_->stats.sessions;
  return added;
}

void SessionTable::Erase(Session* session) {
  HR_CHECK(session->registrations.empty() && session->by_request.empty());
  HR_CHECK(session->leases == 0 && session->handles.size() == 0);
  --context_->stats.sessions;
  sessions_.erase(session->id);
}

Result<Registration*> SessionTable::AddRegistration(Session* session) {
  if (registrations_.size() >= context_->limits.max_registrations) {
    ++context_->stats.limit_registrations;
    ++context_->stats.limit_hits;
    return Fail(Errc::kLimit, "max-registrations reached");
  }
  do {
    ++last_registration_;
  } while (last_registration_ == 0 || registrations_.contains(last_registration_));
  auto registration = std::make_unique<Registration>();
  registration->id = last_registration_;
  registration->session = session;
  Registration* added = registration.get();
  registrations_.emplace(added->id, std::move(registration));
  session->registrations.PushBack(added);
  ++context_->stats.registrations;
  return added;
}

Registration* SessionTable::FindRegistration(const Session* session, uint32_t id) {
  const auto it = registrations_.find(id);
  if (it == registrations_.end() || it->second->session != session) return nullptr;
  return it->second->closing ? nullptr : it->second.get();
}

void SessionTable::EraseRegistration(Registration* registration) {
  HR_CHECK(registration->transfers == 0 && registration->running.empty());
  registration->session->registrations.Erase(registration);
  --context_->stats.registrations;
  registrations_.erase(registration->id);
}

}  // namespace headrace::engine
