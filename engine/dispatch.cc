// One function a command: find whom it concerns, refuse what makes no sense, hand on the rest.
#include "engine/core.h"

namespace headrace::engine {

void Engine::State::Refuse(const Request& request, const Error& error) {
  Answer(request, wire::EmptyReply{});
  context_.effects->replies.back().error = error;
}

void Engine::State::Answer(const Request& request, wire::ReplyBody body) {
  Reply& reply = context_.effects->replies.emplace_back();
  reply.session = request.session;
  reply.request = request.request;
  reply.type = request.type;
  reply.body = std::move(body);
}

Session* Engine::State::FindSession(const Request& request) {
  Session* session = sessions_.Find(request.session);
  if (session == nullptr) Refuse(request, {Errc::kNotFound, 0, "no such session"});
  return session;
}

Registration* Engine::State::FindRegistration(const Request& request, uint32_t registration) {
  const Session* session = FindSession(request);
  if (session == nullptr) return nullptr;
  Registration* found = sessions_.FindRegistration(session, registration);
  if (found == nullptr) {
    Refuse(request, {Errc::kNotFound, 0, "registration is not one of this session"});
  }
  return found;
}

void Engine::State::On(const OpenSession& command) {
  const Request request{command.session, 0, wire::MessageType::kHello};
  if (sessions_.FindAny(command.session) != nullptr) {
    return Refuse(request, {Errc::kExists, 0, "the session is open"});
  }
  const auto instance = quotas_.Join(command.instance, command.tenant);
  if (!instance) return Refuse(request, instance.error());
  const auto session = sessions_.Add(command.session, *instance, command.uid);
  if (session) return;
  quotas_.Leave(*instance);
  Refuse(request, session.error());
}

void Engine::State::On(const CloseSession& command) {
  Session* session = sessions_.Find(command.session);
  if (session != nullptr) closing_->CloseSession(session);
}

Status Engine::State::Bind(const Register& command, Registration* registration) {
  const wire::Register& spec = *command.spec;
  if (command.buffers.size() != spec.groups.size()) {
    return Fail(Errc::kInvalid, "groups: each needs a buffer");
  }
  for (size_t g = 0; g < spec.groups.size(); ++g) {
    const wire::Layout& layout = spec.groups[g].layout;
    HR_TRY(const SizeClass size_class, slab_.OpenClass(layout.slot_bytes()));
    registration->groups.push_back(
        {command.buffers[g], layout.num_blocks, size_class, spec.groups[g].kind});
  }
  return {};
}

Result<Registration*> Engine::State::Join(const Register& command, Session* session) {
  HR_RETURN_IF_ERROR(ValidateRegister(*command.spec));
  HR_TRY(Registration * registration, sessions_.AddRegistration(session));
  registration->rank = command.spec->rank;
  Status bound = Bind(command, registration);
  if (bound) {
    const auto name_space = namespaces_.Join(*command.spec, session->uid);
    if (name_space) {
      registration->name_space = *name_space;
      return registration;
    }
    bound = Fail(name_space.error());
    if (name_space.error().code == Errc::kLimit) {
      ++context_.stats.limit_namespaces;
      ++context_.stats.limit_hits;
    }
  }
  for (const GroupBinding& group : registration->groups) slab_.CloseClass(group.size_class);
  sessions_.EraseRegistration(registration);
  return Fail(bound.error());
}

void Engine::State::On(const Register& command) {
  const Request request{command.session, command.request, wire::MessageType::kRegister};
  Session* session = FindSession(request);
  if (session == nullptr) return;
  const auto registration = Join(command, session);
  if (!registration) {
    Refuse(request, registration.error());
    // The server made these for us, and nobody else will give them back.
    for (const BufferId buffer : command.buffers) {
      context_.effects->dropped_buffers.push_back({buffer});
    }
    return;
  }
  Answer(request,
         wire::RegisterReply{.generation = namespaces_[(*registration)->name_space].generation,
                             .registration = (*registration)->id});
}

void Engine::State::On(const Unregister& command) {
  const Request request{command.session, command.request, wire::MessageType::kUnregister};
  Registration* registration = FindRegistration(request, command.registration);
  if (registration == nullptr) return;
  closing_->CloseRegistration(registration, command.request);
}

void Engine::State::On(const Query& command) {
  const Request request{command.session, command.request, wire::MessageType::kQuery};
  Registration* registration = FindRegistration(request, command.query->registration);
  if (registration == nullptr) return;
  if (command.query->consumers == 0 || command.query->items.size() > wire::kMaxQueries) {
    return Refuse(request, {Errc::kInvalid, 0, "consumers must be at least 1, items at most 1024"});
  }
  queries_->Start(registration, command);
}

Result<Transfer*> Engine::State::TrySave(const Save& command, Registration* registration) {
  HR_RETURN_IF_ERROR(saves_->Validate(*command.save, *registration));
  HR_TRY(Transfer * transfer, transfers_->Begin({.registration = registration,
                                                 .request = command.request,
                                                 .deadline = command.save->deadline,
                                                 .gate = command.save->gate}));
  saves_->Prepare(transfer, command);
  return transfer;
}

void Engine::State::On(const Save& command) {
  const Request request{command.session, command.request, wire::MessageType::kSave};
  Registration* registration = FindRegistration(request, command.save->registration);
  if (registration == nullptr) return;
  const auto transfer = TrySave(command, registration);
  if (!transfer) return Refuse(request, transfer.error());
  transfers_->Start(*transfer);
}

Result<Transfer*> Engine::State::TryLoad(const Load& command, Registration* registration) {
  HR_RETURN_IF_ERROR(loads_->Validate(*command.load, *registration));
  HR_TRY(Transfer * transfer, transfers_->Begin({.registration = registration,
                                                 .request = command.request,
                                                 .deadline = command.load->deadline,
                                                 .gate = command.load->gate}));
  loads_->Prepare(transfer, *command.load);
  return transfer;
}

void Engine::State::On(const Load& command) {
  const Request request{command.session, command.request, wire::MessageType::kLoad};
  Registration* registration = FindRegistration(request, command.load->registration);
  if (registration == nullptr) return;
  const auto transfer = TryLoad(command, registration);
  if (!transfer) {
    ++context_.stats.loads;
    ++context_.stats.failed_loads;
    return Refuse(request, transfer.error());
  }
  transfers_->Start(*transfer);
}

void Engine::State::On(const Release& command) {
  const Session* session = sessions_.Find(command.session);
  if (session == nullptr) return;
  for (const LeaseId lease : command.release->leases) leasing_->Release(*session, lease);
}

void Engine::State::On(const DropHandle& command) {
  Session* session = sessions_.Find(command.session);
  if (session == nullptr) return;
  for (const HandleId handle : command.drop->handles) session->handles.Drop(handle, &context_);
}

void Engine::State::On(const Clear& command) {
  const Request request{command.session, command.request, wire::MessageType::kClear};
  Registration* registration = FindRegistration(request, command.registration);
  if (registration == nullptr) return;
  Answer(request, wire::ClearReply{.generation = sweeper_->Clear(registration->name_space)});
}

void Engine::State::On(const Purge& command) {
  const Request request{command.session, command.request, wire::MessageType::kPurge};
  Registration* registration = FindRegistration(request, command.registration);
  if (registration == nullptr) return;
  const auto found = sweeper_->Purge(registration->name_space, command.hash);
  if (!found) return Refuse(request, found.error());
  Answer(request, wire::PurgeReply{.found = *found});
}

void Engine::State::On(const Cancel& command) {
  Session* session = sessions_.Find(command.session);
  if (session != nullptr) transfers_->Cancel(session, command.target);
}

void Engine::State::On(const Completion& command) {
  transfers_->Complete(command.done);
}

void Engine::State::On(const PageReady& command) {
  slab_.AddPage(command.page);
}

}  // namespace headrace::engine
