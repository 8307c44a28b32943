#include "server/session_table.h"

#include <sys/epoll.h>

#include <utility>

#include "base/log.h"

namespace headrace::server {
namespace {

constexpr Duration kSweepEvery = seconds(1);

}  // namespace

SessionTable::SessionTable(Loop* loop, const SessionLimits& limits, SessionHost* host)
    : loop_(loop), limits_(limits), host_(host) {
  HR_CHECK(loop_ != nullptr && host_ != nullptr);
}

SessionTable::~SessionTable() {
  if (sweep_timer_ != 0) loop_->CancelTimer(sweep_timer_);
  for (const auto& [id, session] : sessions_) {
    if (session->state != Session::State::kClosing && !session->hung_up) {
      loop_->Unwatch(session->fd());
    }
  }
}

void SessionTable::Add(Fd fd, const Peer& peer) {
  if (sessions_.size() >= limits_.max_connections) {
    ++counters_.refused;
    return;
  }
  const SessionId id = next_id_++;
  auto session = std::make_unique<Session>(id, std::move(fd), peer, limits_);
  session->since = loop_->now();
  const Status watched = loop_->Watch(session->fd(), EPOLLIN | EPOLLRDHUP,
                                      [this, id](uint32_t events) { OnEvents(id, events); });
  if (!watched) {
    ++counters_.refused;
    return;
  }
  ++counters_.accepted;
  const bool fresh = sessions_.emplace(id, std::move(session)).second;
  HR_CHECK(fresh);
  if (sweep_timer_ == 0) {
    sweep_timer_ = loop_->At(loop_->now() + kSweepEvery, [this] { SweepGreeting(); });
  }
}

Session* SessionTable::Find(SessionId id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end() || found->second->state == Session::State::kClosing) return nullptr;
  return found->second.get();
}

void SessionTable::ForEach(const std::function<void(const Session&)>& visit) const {
  for (const auto& [id, session] : sessions_) visit(*session);
}

void SessionTable::Queue(Session& session, const wire::ReplyFrame& frame) {
  session.Queue(frame);
  if (!session.in_unsent) {
    session.in_unsent = true;
    unsent_.push_back(session.id());
  }
}

void SessionTable::PutOut(Session& session) {
  if (session.state == Session::State::kClosing) return;
  ++counters_.put_out;
  (void)session.Flush();
  Close(session);
}

void SessionTable::Remove(SessionId id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  HR_CHECK(found->second->state == Session::State::kClosing);
  counters_.closed_descriptors += found->second->reader().unwanted_descriptors();
  removed_.push_back(std::move(found->second));
  sessions_.erase(found);
}

void SessionTable::Flush() {
  // Closing one session may queue replies for others: the list grows while it is walked.
  for (size_t i = 0; i < unsent_.size(); ++i) {
    const auto found = sessions_.find(unsent_[i]);
    if (found == sessions_.end()) continue;
    Session& session = *found->second;
    session.in_unsent = false;
    if (session.state != Session::State::kClosing) FlushOne(session);
  }
  unsent_.clear();
  removed_.clear();
}

void SessionTable::FlushOne(Session& session) {
  const Session::Flushed flushed = session.Flush();
  if (flushed == Session::Flushed::kBroken) {
    Close(session);
    return;
  }
  if (session.unsent_bytes() > limits_.max_output_bytes) {
    ++counters_.overflowed;
    ++counters_.put_out;
    HR_WARN("session {} is put out: it left {} bytes of replies unread", session.id(),
            session.unsent_bytes());
    Close(session);
    return;
  }
  const bool wants_write = flushed == Session::Flushed::kSome;
  if (wants_write == session.wants_write || session.hung_up) return;
  session.wants_write = wants_write;
  const uint32_t events = EPOLLIN | EPOLLRDHUP | (wants_write ? EPOLLOUT : 0U);
  if (!loop_->Rearm(session.fd(), events)) Close(session);
}

bool SessionTable::ServeReady() {
  std::vector<SessionId> ready;
  ready.swap(ready_);
  for (const SessionId id : ready) {
    Session* session = Find(id);
    if (session == nullptr) continue;
    session->in_ready = false;
    ServeFrames(*session);
  }
  return !ready_.empty();
}

void SessionTable::OnEvents(SessionId id, uint32_t events) {
  Session* session = Find(id);
  if (session == nullptr) return;
  if ((events & EPOLLOUT) != 0) {
    FlushOne(*session);
    if (session->state == Session::State::kClosing) return;
  }
  if ((events & ~uint32_t{EPOLLOUT}) == 0) return;
  if (session->in_ready) return;  // reads on when its frames are served
  if (session->reader().Read(session->fd()) == FrameReader::ReadResult::kHangUp) {
    session->hung_up = true;
    loop_->Unwatch(session->fd());
  }
  ServeFrames(*session);
  // Its own replies go out now: later sessions of this turn do not delay them.
  if (session->in_unsent && session->state != Session::State::kClosing) FlushOne(*session);
}

void SessionTable::ServeFrames(Session& session) {
  for (uint32_t i = 0; i < limits_.frames_per_turn; ++i) {
    auto frame = session.reader().Next();
    if (!frame) {
      ++counters_.bad_streams;
      host_->OnBadStream(session, frame.error());
      PutOut(session);
      return;
    }
    if (!*frame) {
      if (session.hung_up) Close(session);
      return;
    }
    ++counters_.frames;
    host_->OnFrame(session, **frame);
    if (session.state == Session::State::kClosing) return;
  }
  if (session.reader().HasFrame()) {
    session.in_ready = true;
    ready_.push_back(session.id());
  } else if (session.hung_up) {
    Close(session);
  }
}

void SessionTable::Close(Session& session) {
  if (session.state == Session::State::kClosing) return;
  if (!session.hung_up) loop_->Unwatch(session.fd());
  const bool opened = session.state == Session::State::kOpen;
  session.state = Session::State::kClosing;
  if (opened) {
    host_->OnClosing(session);
  } else {
    Remove(session.id());
  }
}

void SessionTable::SweepGreeting() {
  sweep_timer_ = 0;
  std::vector<SessionId> late;
  bool greeting = false;
  for (const auto& [id, session] : sessions_) {
    if (session->state != Session::State::kGreeting) continue;
    if (loop_->now() - session->since >= limits_.hello_timeout) {
      late.push_back(id);
    } else {
      greeting = true;
    }
  }
  for (const SessionId id : late) {
    Session* session = Find(id);
    if (session == nullptr) continue;
    ++counters_.hello_timeouts;
    PutOut(*session);
  }
  if (greeting) sweep_timer_ = loop_->At(loop_->now() + kSweepEvery, [this] { SweepGreeting(); });
  removed_.clear();
}

}  // namespace headrace::server
