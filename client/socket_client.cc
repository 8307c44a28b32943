#include "client/socket_client.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "client/endpoint.h"

namespace headrace::client {
namespace {

// Ids of requests that are no transfers: their low bits name no slot.
constexpr uint32_t kIdBits = 16;
constexpr uint64_t kNoSlot = 0xffff;
static_assert(Transfers::kMaxSlots < kNoSlot);
// A thread that waits while another one polls flushes at this pace when the socket is full.
constexpr Duration kFlushPause = milliseconds(1);
// Buffers full of replies that one call reads, so that no server can hold it.
constexpr int kMaxReads = 1024;

// An answer comes about this long after its request. A thread that looks for it so long and sleeps
// only then saves the wake-up of a sleeping processor, which takes longer than the answer.
constexpr Duration kLookFirst = microseconds(20);

// True when the socket has bytes, room (if asked for) or an end.
bool PollSocket(int fd, bool for_room, Duration wait) {
  pollfd entry{fd, static_cast<short>(for_room ? POLLIN | POLLOUT : POLLIN), 0};
  const Time start = MonotonicNow();
  const Time sleep_at = start + std::min(wait, kLookFirst);
  for (Time now = start; now < sleep_at; now = MonotonicNow()) {
    if (::poll(&entry, 1, 0) > 0) return true;
  }
  const int64_t nanos = std::max(Duration(0), wait - kLookFirst).count();
  const timespec timeout{nanos / 1'000'000'000, nanos % 1'000'000'000};
  return ::ppoll(&entry, 1, &timeout, nullptr) > 0;
}

}  // namespace

SocketClient::SocketClient(ClientOptions options, std::string path)
    : options_(std::move(options)),
      path_(std::move(path)),
      instance_(InstanceName(options_.instance)),
      breaker_(options_.breaker_open, options_.breaker_open_max),
      transfers_(options_.gates) {
  query_.body = wire::Query{};
}

SocketClient::~SocketClient() {
  Close(kCloseWait);
}

// Whatever can be done without waiting: connect, register, flush, probe, look for a sign of life.
void SocketClient::Drive(Time now) {
  if (closed_) return;
  if (!session_) {
    if (!breaker_.open() || breaker_.TakeProbe(now)) Connect(now);
    return;
  }
  if (session_->link()->queued() && !session_->link()->Flush()) {
    return Disconnect(Ending::kHangUp, now);
  }
  if (breaker_.open()) {
    ReadAll(now);
    if (session_ && breaker_.TakeProbe(now)) Probe(now);
  }
  if (session_ && !RegisterNow()) Disconnect(Ending::kHangUp, now);
}

void SocketClient::Connect(Time now) {
  HR_CHECK(!session_ && !closed_);
  auto link = Link::Connect(path_);
  if (!link) return breaker_.Trip(now);
  socket_number_.store((*link)->fd());
  session_.emplace(std::move(*link), ++connections_, now);
  const HelloNames names{options_.program, instance_, options_.tenant};
  if (!session_->SendHello(NextId(), names) || !RegisterNow()) {
    Disconnect(Ending::kHangUp, now);
  }
  changed_.notify_all();  // who waits without a session may read this one
}

// Sends the registration where there is one that this connection has not seen. False: hung up.
bool SocketClient::RegisterNow() {
  if (!registration_ || session_->registered() || session_->registering()) return true;
  if (session_->link()->queued()) return true;  // descriptors go with their own frame: later
  const bool moves_bytes = !registration_->spec.buffers.empty();
  const Status sent =
      session_->SendRegister(NextId(), *registration_, moves_bytes ? options_.gates : 0);
  return sent.has_value();
}

void SocketClient::Probe(Time now) {
  std::string ping;
  wire::EncodeRequest({NextId(), wire::Ping{}}, &ping);
  const Status sent = session_->link()->Send(ping);
  if (!sent && sent.error().code == Errc::kUnavailable) Disconnect(Ending::kHangUp, now);
}

void SocketClient::Disconnect(Ending ending, Time now) {
  HR_CHECK(session_.has_value());
  const std::shared_ptr<Link> link = session_->link();
  // After one that served for a while the next call connects at once: a restart is seldom. Any
  // other is a failure, or each call would connect anew.
  const bool served = session_->registered() && now - session_->opened() >= options_.breaker_open;
  if (ending == Ending::kHangUp && served) {
    breaker_.OnAnswer();
  } else if (ending != Ending::kClosed) {
    breaker_.Trip(now);
  }
  session_.reset();
  socket_number_.store(-1);
  link->EndSending();
  transfers_.OnConnectionEnd(link, now);
  for (Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next) {
    waiter->lost = !waiter->done;
  }
  changed_.notify_all();
}

void SocketClient::ReadAll(Time now) {
  const std::shared_ptr<Link> link = session_->link();
  // A thread that polls would sleep on, were its reply taken from under it. It is awake by now.
  if (link.get() == reading_) return;
  bool more = true;
  for (int reads = 0; more && reads < kMaxReads; ++reads) {
    more = link->Receive();
    if (const Status handled = TakeFrames(link.get()); !handled) {
      const bool broken = handled.error().code == Errc::kCorrupt;
      return Disconnect(broken ? Ending::kProtocol : Ending::kRefused, now);
    }
    if (link->hung_up()) return Disconnect(Ending::kHangUp, now);
  }
}

Status SocketClient::TakeFrames(Link* link) {
  while (true) {
    const auto payload = link->NextFrame();
    if (!payload) return Fail(Errc::kCorrupt, payload.error().what);
    if (payload->data() == nullptr) return {};
    HR_RETURN_IF_ERROR(OnFrame(*payload));
  }
}

Status SocketClient::OnFrame(std::span<const uint8_t> payload) {
  const auto reply = wire::DecodeReply(payload);
  if (!reply) return Fail(Errc::kCorrupt, reply.error().what);
  HR_TRY(const Session::Answer answer, session_->OnReply(*reply));
  breaker_.OnAnswer();
  if (answer != Session::Answer::kNotOurs) return OnSessionReply(answer, *reply);
  if (transfers_.OnReply(*reply)) return {};
  for (Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next) {
    if (waiter->id == reply->id) return OnWaited(*waiter, *reply);
  }
  OnLateReply(*reply);
  return {};
}

Status SocketClient::OnSessionReply(Session::Answer answer, const wire::ReplyFrame& reply) {
  const bool hello = reply.type == wire::MessageType::kHello;
  if (answer == Session::Answer::kTaken) {
    ++(hello ? stats_.connects : stats_.registrations);
    if (hello && (!epoch_seen_ || session_->epoch() != last_epoch_)) {
      ++stats_.epochs;
      epoch_seen_ = true;
      last_epoch_ = session_->epoch();
    }
    return {};
  }
  refusal_ = Fail(reply.code, hello ? "the server refuses the connection"
                                    : "the server refuses the registration");
  refusal_text_.assign(reply.text);
  // Somebody who waits is told and decides. Otherwise it was good once, or may be later.
  if (!hello && register_waiters_ > 0) {
    registration_.reset();
    return {};
  }
  return Fail(reply.code, "refused");
}

Status SocketClient::OnWaited(Waiter& waiter, const wire::ReplyFrame& reply) {
  if (waiter.type != reply.type || waiter.done) {
    return Fail(Errc::kCorrupt, "a reply of another type than its request");
  }
  waiter.code = reply.code;
  if (const auto* query = std::get_if<wire::QueryReply>(&reply.body);
      query != nullptr && reply.code == Errc::kOk) {
    HR_RETURN_IF_ERROR(OnQueryReply(waiter, *query));
  } else if (const auto* clear = std::get_if<wire::ClearReply>(&reply.body)) {
    waiter.number = clear->generation;
  } else if (const auto* purge = std::get_if<wire::PurgeReply>(&reply.body)) {
    waiter.number = purge->found ? 1 : 0;
  } else if (const auto* status = std::get_if<wire::StatusReply>(&reply.body)) {
    waiter.text.assign(status->json);
  }
  waiter.done = true;
  return {};
}

Status SocketClient::OnQueryReply(Waiter& waiter, const wire::QueryReply& reply) {
  if (reply.answers.size() != waiter.items.size()) {
    return Fail(Errc::kCorrupt, "a query's reply with another number of answers");
  }
  for (size_t i = 0; i < reply.answers.size(); ++i) {
    const wire::QueryAnswer& answer = reply.answers[i];
    const QuerySpec& item = waiter.items[i];
    if (answer.hit_blocks > uint64_t{item.prefix_blocks} + item.hashes.size()) {
      return Fail(Errc::kCorrupt, "a query's answer with more hits than hashes");
    }
    waiter.results[i] = {answer.hit_blocks, session_->LeaseOut(answer.lease),
                         session_->PrefixOut(answer.handle), answer.code};
  }
  return {};
}

// Nobody waits any more: what the server holds for it is given back.
void SocketClient::OnLateReply(const wire::ReplyFrame& reply) {
  const auto* query = std::get_if<wire::QueryReply>(&reply.body);
  if (query == nullptr) return;
  ++stats_.late_replies;
  wire::Release release;
  wire::DropHandle drop;
  for (const wire::QueryAnswer& answer : query->answers) {
    if (answer.lease != 0) release.leases.push_back(answer.lease);
    if (answer.handle != 0) drop.handles.push_back(answer.handle);
  }
  // Best effort: what cannot be sent ends by the lease's deadline or with the session.
  if (!release.leases.empty()) (void)SendOneWay(std::move(release));
  if (!drop.handles.empty()) (void)SendOneWay(std::move(drop));
}

void SocketClient::WaitForBytes(Lock& lock, Time deadline) {
  const Time now = MonotonicNow();
  const std::shared_ptr<Link> link = session_ ? session_->link() : nullptr;
  if (link == nullptr || link.get() == reading_) {
    if (link != nullptr && link->queued()) deadline = std::min(deadline, now + kFlushPause);
    changed_.wait_until(lock, deadline);
    return;
  }
  reading_ = link.get();
  const bool flush = link->queued();
  const Duration wait = std::max(Duration::zero(), deadline - now);
  lock.unlock();
  const bool ready = PollSocket(link->fd(), flush, wait);
  lock.lock();
  if (reading_ == link.get()) reading_ = nullptr;
  if (ready && session_ && session_->link() == link) {
    if (link->Flush()) {
      ReadAll(MonotonicNow());
    } else {
      Disconnect(Ending::kHangUp, MonotonicNow());
    }
  }
  changed_.notify_all();
}

void SocketClient::Await(Lock& lock, Waiter* waiter, Time deadline) {
  waiter->next = waiters_;
  waiters_ = waiter;
  while (!waiter->done && !waiter->lost && MonotonicNow() < deadline) WaitForBytes(lock, deadline);
  Waiter** link = &waiters_;
  while (*link != waiter) link = &(*link)->next;
  *link = waiter->next;
}

// False at once while the breaker is open, else after at most the deadline; that opens it.
bool SocketClient::AwaitReady(Lock& lock, Time deadline, Level level) {
  while (true) {
    const Time now = MonotonicNow();
    Drive(now);
    const bool may_come = level == Level::kGreeted || registration_.has_value();
    if (!may_come || closed_ || breaker_.open()) return false;
    if (session_) {
      if (level == Level::kGreeted ? session_->greeted() : session_->registered()) return true;
      if (now >= deadline) {
        breaker_.Trip(now);
        return false;
      }
      WaitForBytes(lock, deadline);
    }
  }
}

bool SocketClient::ReadyNow() const {
  return session_ && session_->registered() && !breaker_.open() && !closed_;
}

Status SocketClient::SendOneWay(wire::Request body) {
  HR_CHECK(session_.has_value());
  std::string frame;
  wire::EncodeRequest({0, std::move(body)}, &frame);
  return session_->link()->Send(frame);
}

uint64_t SocketClient::NextId() {
  return ++ids_ << kIdBits | kNoSlot;
}

}  // namespace headrace::client
