#include "server/requests.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/version.h"

namespace headrace::server {
namespace {

// Requests with id 0 get numbers of their own here, so that the core can tell them apart.
constexpr RequestId kSilent = RequestId{1} << 63;

uint64_t CapabilitiesFor(const Peer& peer) {
  const uint64_t everywhere =
      wire::kCapHandles | wire::kCapGates | wire::kCapPurge | wire::kCapTokens;
  return peer.local ? everywhere | wire::kCapDescriptors : everywhere;
}

// A client's word in a log line: one line whatever it holds.
std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e || c == '"') c = '?';
  }
  return out;
}

// What a server that is going down does not begin any more.
bool BeginsWork(wire::MessageType type) {
  return type == wire::MessageType::kHello || type == wire::MessageType::kRegister ||
         type == wire::MessageType::kQuery || type == wire::MessageType::kSave ||
         type == wire::MessageType::kLoad;
}

}  // namespace

RequestRouter::RequestRouter(const RequestConfig& config, const Parts& parts)
    : config_(config), parts_(parts) {
  HR_CHECK(parts_.host != nullptr && parts_.sessions != nullptr);
  HR_CHECK(parts_.buffers != nullptr && parts_.rpc != nullptr);
  HR_CHECK(config_.epoch != 0);
}

// One member for each message of wire::Request.
struct RequestRouter::Dispatch {
  RequestRouter& router;
  const Call& call;

  void operator()(const wire::Hello& hello) { router.OnHello(call, hello); }
  void operator()(const wire::Register& spec) { router.OnRegister(call, spec); }
  void operator()(const wire::Unregister& message) {
    router.OnUnregister(call.session, message.registration);
    Apply(engine::Unregister{call.session.id(), call.request, message.registration});
  }
  void operator()(const wire::Query& query) {
    Apply(engine::Query{call.session.id(), call.request, &query});
  }
  void operator()(const wire::Save& save) {
    Apply(engine::Save{call.session.id(), call.request, &save});
  }
  void operator()(const wire::Load& load) {
    Apply(engine::Load{call.session.id(), call.request, &load});
  }
  void operator()(const wire::Release& release) {
    Apply(engine::Release{call.session.id(), &release});
    router.Answer(call, wire::EmptyReply{});
  }
  void operator()(const wire::Clear& message) {
    Apply(engine::Clear{call.session.id(), call.request, message.registration});
  }
  void operator()(const wire::Cancel& cancel) {
    Apply(engine::Cancel{call.session.id(), cancel.request});
    router.Answer(call, wire::EmptyReply{});
  }
  void operator()(const wire::Ping&) { router.Answer(call, wire::EmptyReply{}); }
  void operator()(const wire::DropHandle& drop) {
    Apply(engine::DropHandle{call.session.id(), &drop});
    router.Answer(call, wire::EmptyReply{});
  }
  void operator()(const wire::Purge& purge) {
    Apply(engine::Purge{call.session.id(), call.request, purge.registration, purge.hash});
  }
  void operator()(const wire::StatusRequest&) {
    const std::string json = router.parts_.host->StatusJson();
    router.Answer(call, wire::StatusReply{json});
  }

  void Apply(const engine::Command& command) { router.parts_.host->Apply(command); }
};

void RequestRouter::Handle(Session& session, std::span<const uint8_t> payload) {
  const Time start = MonotonicNow();
  const auto frame = wire::DecodeRequest(payload);
  if (!frame) return Refuse(session, payload, frame.error());
  if (!Admit(session, *frame)) return;
  const RequestId request = frame->id != 0 ? frame->id : (kSilent | ++next_silent_);
  const Call call{session, wire::TypeOf(frame->body), frame->id, request};
  if (frame->id != 0 && !session.Begin(request, start)) {
    return Reject(call, Errc::kInvalid, "id: a request of this number is still running");
  }
  std::visit(Dispatch{*this, call}, frame->body);
}

bool RequestRouter::Admit(Session& session, const wire::RequestFrame& frame) {
  const Call call{session, wire::TypeOf(frame.body), frame.id, frame.id};
  const bool hello = call.type == wire::MessageType::kHello;
  if ((frame.id & kSilent) != 0) {
    Reject(call, Errc::kInvalid, "id: not below 2^63");
    return false;
  }
  if (hello == (session.state == Session::State::kOpen)) {
    if (hello) {
      Reject(call, Errc::kInvalid, "Hello: was said already");
      return false;
    }
    ++counters_.no_hello;
    Reject(call, Errc::kInvalid, "the first message of a connection must be Hello");
    parts_.sessions->PutOut(session);
    return false;
  }
  if (parts_.host->draining() && BeginsWork(call.type)) {
    Reject(call, Errc::kUnavailable, "the server is shutting down");
    return false;
  }
  return true;
}

void RequestRouter::Refuse(Session& session, std::span<const uint8_t> payload, const Error& error) {
  ++counters_.malformed;
  HR_DEBUG("session {}: a frame of {} bytes is refused: {}", session.id(), payload.size(),
           error.what);
  const auto head = wire::DecodeRequestHead(payload);
  if (!head) {
    OnBadStream(session, error);
    parts_.sessions->PutOut(session);
    return;
  }
  const Call call{session, head->type, head->id, head->id};
  Reject(call, error.code, error.what);
  if (session.state == Session::State::kGreeting) parts_.sessions->PutOut(session);
}

void RequestRouter::OnBadStream(Session& session, const Error& error) {
  HR_WARN("session {} is put out: {}", session.id(), error.what);
  // Its request is not known: type 0, id 0.
  parts_.rpc->Answered(wire::MessageType{}, error.code);
  parts_.sessions->Queue(session, {.type = wire::MessageType{},
                                   .id = 0,
                                   .epoch = config_.epoch,
                                   .code = error.code,
                                   .text = error.what,
                                   .body = wire::EmptyReply{}});
}

void RequestRouter::OnHello(const Call& call, const wire::Hello& hello) {
  Session& session = call.session;
  HR_CHECK(session.state == Session::State::kGreeting);
  if (open_sessions_ >= config_.max_sessions) {
    ++counters_.limit_sessions;
    (void)session.End(call.request);
    Reject(call, Errc::kLimit, "max-sessions: the server has as many sessions as it may");
    parts_.sessions->PutOut(session);
    return;
  }
  hello_refused_ = {Errc::kOk, 0, ""};
  parts_.host->Apply(
      engine::OpenSession{session.id(), hello.instance, hello.tenant, session.peer().uid});
  if (hello_refused_.code != Errc::kOk) {
    (void)session.End(call.request);
    Reject(call, hello_refused_.code, hello_refused_.what);
    parts_.sessions->PutOut(session);
    return;
  }
  session.state = Session::State::kOpen;
  session.instance = hello.instance;
  session.client = hello.client;
  ++open_sessions_;
  HR_INFO("session {}: instance \"{}\", {}, uid {}, pid {}", session.id(),
          Printable(hello.instance), Printable(hello.client),
          static_cast<int32_t>(session.peer().uid), session.peer().pid);
  Answer(call,
         wire::HelloReply{
             .server = Version(),
             .capabilities = hello.capabilities & CapabilitiesFor(session.peer()),
             .session = session.id(),
             .max_frame = config_.max_frame,
             .lease_ms = std::chrono::duration_cast<milliseconds>(config_.max_lease).count()});
}

void RequestRouter::OnRegister(const Call& call, const wire::Register& spec) {
  const std::vector<Fd> descriptors = call.session.reader().TakeDescriptors();
  std::string why;
  auto buffers = parts_.buffers->Add(call.session, spec, descriptors, &why);
  if (!buffers) {
    HR_WARN("session {}: {}", call.session.id(), why);
    (void)call.session.End(call.request);
    return Reject(call, buffers.error().code, why);
  }
  registering_ = &spec;
  registration_refused_ = false;
  parts_.host->Apply(engine::Register{call.session.id(), call.request, &spec, *buffers});
  registering_ = nullptr;
  if (!registration_refused_) return;
  for (const wire::BufferId id : *buffers) parts_.buffers->Drop(id);
}

void RequestRouter::OnReply(const engine::Reply& reply) {
  if (reply.type == wire::MessageType::kHello) {  // only when it refuses the session
    hello_refused_ = reply.error;
    return;
  }
  if (reply.type == wire::MessageType::kRegister && reply.error.code != Errc::kOk) {
    registration_refused_ = true;
  }
  Session* const session = parts_.sessions->Find(reply.session);
  if (session == nullptr) return;
  Account(*session, reply);
  if ((reply.request & kSilent) != 0) return;
  Finish(*session, {.type = reply.type,
                    .id = reply.request,
                    .epoch = config_.epoch,
                    .code = reply.error.code,
                    .text = reply.error.code == Errc::kOk ? "" : reply.error.what,
                    .body = reply.body});
}

void RequestRouter::Account(Session& session, const engine::Reply& reply) {
  if (const auto* query = std::get_if<wire::QueryReply>(&reply.body)) {
    for (const wire::QueryAnswer& answer : query->answers) {
      if (answer.lease != 0) ++session.counts.leases_granted;
    }
  } else if (const auto* joined = std::get_if<wire::RegisterReply>(&reply.body)) {
    if (reply.error.code != Errc::kOk) return;
    OnRegistered(session, joined->registration);
  }
}

void RequestRouter::OnRegistered(Session& session, uint32_t registration) {
  HR_CHECK(registering_ != nullptr);  // the core answers before Apply returns
  const wire::Register& spec = *registering_;
  session.name_spaces[registration] = spec.name_space;
  if (parts_.pods == nullptr) return;
  parts_.pods->Join(session.id(), registration, spec.name_space, spec.pods, spec.pods_model);
}

void RequestRouter::OnUnregister(Session& session, uint32_t registration) {
  session.name_spaces.erase(registration);
  if (parts_.pods != nullptr) parts_.pods->Leave(session.id(), registration);
}

void RequestRouter::Answer(const Call& call, wire::ReplyBody body) {
  if (call.id == 0) return;
  Finish(call.session, {.type = call.type,
                        .id = call.id,
                        .epoch = config_.epoch,
                        .code = Errc::kOk,
                        .text = "",
                        .body = std::move(body)});
}

void RequestRouter::Reject(const Call& call, Errc code, std::string_view text) {
  parts_.rpc->Answered(call.type, code);
  if (call.id == 0) return;
  parts_.sessions->Queue(call.session, {.type = call.type,
                                        .id = call.id,
                                        .epoch = config_.epoch,
                                        .code = code,
                                        .text = text,
                                        .body = wire::EmptyReply{}});
}

void RequestRouter::Finish(Session& session, const wire::ReplyFrame& frame) {
  parts_.rpc->Answered(frame.type, frame.code);
  if (const auto start = session.End(frame.id)) {
    parts_.rpc->Took(frame.type, MonotonicNow() - *start);
  }
  parts_.sessions->Queue(session, frame);
}

}  // namespace headrace::server
