#include "server/core.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace headrace::server {
namespace {

constexpr const char* kCommandNames[] = {"open_session", "close_session", "register", "unregister",
                                         "query",        "save",          "load",     "release",
                                         "drop_handle",  "clear",         "purge",    "cancel",
                                         "completion",   "page_ready",    "tick"};
static_assert(sizeof(kCommandNames) / sizeof(kCommandNames[0]) ==
              std::variant_size_v<engine::Command>);

// Until a feed that found no room looks again.
constexpr Duration kEventPause = milliseconds(1);

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Core::Core(const ServerOptions& options, uint64_t epoch, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      buffers_(parts_.mover),
      carrier_(parts_.mover, &buffers_, this),
      sessions_(parts_.loop, options.session, this),
      router_({.epoch = epoch,
               .max_frame = static_cast<uint32_t>(options.session.max_frame_bytes),
               .max_sessions = options.engine.max_sessions,
               .max_lease = options.engine.max_lease},
              {.host = this,
               .sessions = &sessions_,
               .buffers = &buffers_,
               .rpc = parts_.rpc,
               .pods = parts_.pods}),
      acceptor_(parts_.loop, [this](Fd fd, Peer peer) { sessions_.Add(std::move(fd), peer); }) {
  HR_CHECK(parts_.loop != nullptr && parts_.mover != nullptr && parts_.rpc != nullptr);
  HR_CHECK(parts_.engine != nullptr && parts_.board != nullptr);
  HR_CHECK(parts_.status_json != nullptr);
}

Core::~Core() {
  parts_.loop->SetIdle(nullptr);
  parts_.loop->Unwatch(parts_.mover->event_fd());
}

Status Core::Start(Fd local, Fd remote) {
  HR_RETURN_IF_ERROR(
      parts_.loop->Watch(parts_.mover->event_fd(), EPOLLIN, [this](uint32_t) { OnMover(); }));
  HR_RETURN_IF_ERROR(acceptor_.Add(std::move(local), true));
  HR_RETURN_IF_ERROR(acceptor_.Add(std::move(remote), false));
  parts_.loop->SetIdle([this] { return OnIdle(); });
  Publish();
  return {};
}

void Core::AddPages(uint32_t first, uint32_t count) {
  for (uint32_t page = first; page < first + count; ++page) Apply(engine::PageReady{page});
}

void Core::Publish() {
  parts_.board->Publish(std::make_shared<const Snapshot>(TakeSnapshot()));
}

void Core::OnFrame(Session& session, std::span<const uint8_t> payload) {
  router_.Handle(session, payload);
}

void Core::OnBadStream(Session& session, const Error& error) {
  router_.OnBadStream(session, error);
}

void Core::OnClosing(Session& session) {
  HR_INFO("session {} ends: saved {} bytes, loaded {} bytes", session.id(),
          session.counts.saved_bytes, session.counts.loaded_bytes);
  if (parts_.pods != nullptr) parts_.pods->LeaveAll(session.id());
  Apply(engine::CloseSession{session.id()});
}

std::string Core::StatusJson() {
  return parts_.status_json(TakeSnapshot());
}

void Core::Apply(const engine::Command& command) {
  ApplyOne(command);
  // Jobs that ended without the mover are completions too, and those may start further jobs.
  for (auto ended = carrier_.TakeEnded(); !ended.empty(); ended = carrier_.TakeEnded()) {
    for (const wire::CopyDone& done : ended) ApplyOne(engine::Completion{done});
  }
}

void Core::ApplyOne(const engine::Command& command) {
  HR_CHECK(!applying_);  // effects are not carried out in the middle of others
  applying_ = true;
  const Time begin = MonotonicNow();
  parts_.engine->Apply(command, parts_.loop->now(), &effects_);
  const double took = Seconds(MonotonicNow() - begin);
  ++counters_.commands;
  if (took > counters_.longest_apply_seconds) {
    counters_.longest_apply_seconds = took;
    counters_.longest_apply = kCommandNames[command.index()];
  }
  if (parts_.events != nullptr) parts_.events->Push(&effects_.events);
  carrier_.Carry(&effects_);
  applying_ = false;
}

void Core::OnReply(const engine::Reply& reply) {
  router_.OnReply(reply);
}

void Core::OnMoved(SessionId session, wire::Direction direction, uint64_t bytes) {
  Session* const found = sessions_.Find(session);
  if (found == nullptr) return;
  uint64_t& total =
      direction == wire::Direction::kSave ? found->counts.saved_bytes : found->counts.loaded_bytes;
  total += bytes;
}

void Core::OnGone(SessionId session) {
  HR_CHECK(sessions_.Find(session) == nullptr);  // it was closing
  router_.OnGone();
  sessions_.Remove(session);
}

void Core::OnMover() {
  done_.clear();
  parts_.mover->Poll(&done_);
  for (const wire::CopyDone& done : done_) {
    if (carrier_.OnCompletion(done)) Apply(engine::Completion{done});
  }
  carrier_.Retry();
  // A job that waited may have been refused now; the next command would tell the core too late.
  for (const wire::CopyDone& done : carrier_.TakeEnded()) Apply(engine::Completion{done});
}

bool Core::OnIdle() {
  bool more = sessions_.ServeReady();
  if (parts_.engine->HasWork()) Apply(engine::Tick{});
  sessions_.Flush();
  if (draining()) AdvanceDrain();
  ArmTimer();
  more = more || parts_.engine->HasWork();
  more = AdvanceEvents() || more;
  TellOfPods();
  const double turn = Seconds(MonotonicNow() - parts_.loop->now());
  ++counters_.turns;
  counters_.busy_seconds += turn;
  counters_.longest_turn_seconds = std::max(counters_.longest_turn_seconds, turn);
  return more;
}

bool Core::AdvanceEvents() {
  if (parts_.events == nullptr || !parts_.events->behind()) return false;
  if (parts_.events->Advance()) return true;
  if (!parts_.events->behind() || events_wait_) return false;
  // The publisher makes room without telling.
  events_wait_ = true;
  parts_.loop->At(parts_.loop->now() + kEventPause, [this] { events_wait_ = false; });
  return false;
}

void Core::TellOfPods() {
  if (parts_.pods == nullptr || parts_.pods->version() == pods_version_) return;
  pods_version_ = parts_.pods->version();
  parts_.pods_changed();
}

void Core::ArmTimer() {
  const std::optional<Time> next = parts_.engine->NextDeadline();
  // A timer that rings early costs one empty Tick; one that is moved at each query costs more.
  if (!next || (timer_ != 0 && timer_at_ <= *next)) return;
  if (timer_ != 0) parts_.loop->CancelTimer(timer_);
  timer_at_ = *next;
  timer_ = parts_.loop->At(*next, [this] {
    timer_ = 0;
    Apply(engine::Tick{});
  });
}

void Core::Drain() {
  if (phase_ == Phase::kDraining) phase_ends_ = parts_.loop->now();
  if (phase_ != Phase::kServing) return;
  HR_INFO("draining: {} sessions, {} copies", sessions_.size(),
          carrier_.jobs_running() + carrier_.jobs_held());
  phase_ = Phase::kDraining;
  phase_ends_ = parts_.loop->now() + options_.drain.drain_copies;
  acceptor_.Close();
  Publish();
  // The loop may have nothing else to wake it at the phases' ends.
  parts_.loop->At(phase_ends_, [] {});
}

void Core::AdvanceDrain() {
  const Time now = parts_.loop->now();
  if (phase_ == Phase::kDraining) {
    const engine::Stats& stats = parts_.engine->stats();
    const bool quiet =
        carrier_.idle() && stats.copies_in_flight == 0 && stats.requests_waiting == 0;
    if (!quiet && now < phase_ends_) return;
    if (!quiet) HR_WARN("copies still run when the time to drain is over: they are cancelled");
    phase_ = Phase::kClosing;
    phase_ends_ = now + options_.drain.drain_fence;
    parts_.loop->At(phase_ends_, [] {});
    CloseSessions();
  }
  if (phase_ == Phase::kClosing) {
    if (sessions_.size() != 0 && now < phase_ends_) return;
    if (sessions_.size() != 0) HR_ERROR("{} sessions are not fenced in time", sessions_.size());
    phase_ = Phase::kStopped;
    parts_.loop->Stop();
  }
}

void Core::CloseSessions() {
  std::vector<SessionId> ids;
  sessions_.ForEach([&ids](const Session& session) { ids.push_back(session.id()); });
  for (const SessionId id : ids) {
    if (Session* session = sessions_.Find(id)) sessions_.PutOut(*session);
  }
  sessions_.Flush();
}

Snapshot Core::TakeSnapshot() const {
  Snapshot snapshot{.taken = MonotonicNow(),
                    .draining = phase_ != Phase::kServing,
                    .engine = parts_.engine->stats(),
                    .mover = parts_.mover->stats(),
                    .sessions = sessions_.counters(),
                    .requests = router_.counters(),
                    .carrier = carrier_.counters(),
                    .loop = counters_,
                    .accept_pauses = acceptor_.pauses(),
                    .connections = sessions_.size(),
                    .open_sessions = router_.open_sessions(),
                    .jobs_running = carrier_.jobs_running(),
                    .jobs_held = carrier_.jobs_held(),
                    .buffers = buffers_.size(),
                    .events = {},
                    .session_list = {}};
  if (parts_.events != nullptr) {
    snapshot.events = parts_.event_totals();
    snapshot.events.dropped = parts_.events->dropped();
    snapshot.events.losses = parts_.events->losses();
  }
  sessions_.ForEach([&snapshot](const Session& session) {
    if (session.state == Session::State::kGreeting) return;
    SessionInfo info{.id = session.id(),
                     .instance = session.instance,
                     .client = session.client,
                     .peer = session.peer(),
                     .closing = session.state == Session::State::kClosing,
                     .running = session.running(),
                     .counts = session.counts,
                     .name_spaces = {}};
    for (const auto& [registration, name] : session.name_spaces) info.name_spaces.push_back(name);
    snapshot.session_list.push_back(std::move(info));
  });
  return snapshot;
}

}  // namespace headrace::server
