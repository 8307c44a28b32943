// The public calls of SocketClient; how the connection is kept stands in socket_client.cc.
#include <algorithm>

#include "client/socket_client.h"

namespace headrace::client {
namespace {

// A wait that a caller may ask for; longer ones are cut, so that no deadline overflows.
constexpr Duration kMaxWait = std::chrono::hours(24);
// What the fields of a query beside its hashes take at most, per item and for the message.
constexpr size_t kItemBytes = 64;
constexpr size_t kMessageBytes = 64;
// Numbers in one Release or DropHandle.
constexpr size_t kMaxNumbers = 4096;

Time DeadlineOf(Time now, Duration wait) {
  return now + std::clamp(wait, Duration::zero(), kMaxWait);
}

Errc CheckItem(const QuerySpec& item) {
  if (item.hashes.size() > wire::kMaxHashes) return Errc::kLimit;
  if (item.hashes.empty()) return Errc::kOk;
  const uint8_t bytes = item.hashes.hash_bytes();
  return bytes == 0 || bytes > wire::BlockHash::kMaxBytes ? Errc::kInvalid : Errc::kOk;
}

Status CheckChain(const wire::SaveChain& chain) {
  const wire::HashList& hashes = chain.hashes;
  if (hashes.empty()) return Fail(Errc::kInvalid, "chain.hashes must not be empty");
  if (hashes.size() > wire::kMaxHashes) return Fail(Errc::kLimit, "chain.hashes: at most 65536");
  if (hashes.hash_bytes() == 0 || hashes.hash_bytes() > wire::BlockHash::kMaxBytes) {
    return Fail(Errc::kInvalid, "chain.hash_bytes must be 1 to 32");
  }
  if (chain.blocks.size() != hashes.size()) {
    return Fail(Errc::kInvalid, "chain.blocks must have one entry a hash");
  }
  if ((chain.depth == 0) != chain.parent.empty()) {
    return Fail(Errc::kInvalid, "chain.parent must be given exactly when depth is not 0");
  }
  return {};
}

}  // namespace

Status SocketClient::Register(const Registration& registration, Duration wait) {
  HR_TRY(OwnedRegistration copy, OwnedRegistration::Copy(registration));
  copy.pods = options_.pods;
  copy.pods_model = options_.pods_model;
  Lock lock(mutex_);
  if (closed_) return Fail(Errc::kUnavailable, "the client is closed");
  if (registration_) return Fail(Errc::kExists, "one registration a client");
  registration_ = std::move(copy);
  refusal_ = {};
  refusal_text_.clear();
  ++register_waiters_;
  AwaitRegistered(lock, DeadlineOf(MonotonicNow(), wait));
  --register_waiters_;
  if (!registration_) return refusal_;
  if (session_ && session_->registered()) return {};
  if (session_) return Fail(Errc::kTimeout, "the server has not answered the registration yet");
  return Fail(Errc::kUnavailable, "no server listens at the endpoint");
}

void SocketClient::AwaitRegistered(Lock& lock, Time deadline) {
  while (registration_ && !closed_) {
    const Time now = MonotonicNow();
    Drive(now);
    if (now >= deadline || (session_ && session_->registered())) return;
    WaitForBytes(lock, std::min(deadline, breaker_.probe_at()));
  }
}

std::string SocketClient::last_refusal() {
  const Lock lock(mutex_);
  return refusal_text_;
}

bool SocketClient::ready() {
  const Lock lock(mutex_);
  const Time now = MonotonicNow();
  Drive(now);
  if (session_) ReadAll(now);
  return ReadyNow();
}

void SocketClient::Query(std::span<const QuerySpec> items, std::span<QueryResult> results) {
  HR_CHECK(items.size() == results.size());
  Lock lock(mutex_);
  ++stats_.queries;
  const Time deadline = MonotonicNow() + options_.call_timeout;
  std::ranges::fill(results, QueryResult{.code = Errc::kUnavailable});
  size_t done = 0;
  // A server that restarted since the last call is met by the hang-up of one send: tried once more.
  int hang_ups = 0;
  while (done < items.size() && hang_ups < 2) {
    if (const Errc code = CheckItem(items[done]); code != Errc::kOk) {
      results[done++].code = code;
      continue;
    }
    if (!AwaitReady(lock, deadline, Level::kRegistered)) {
      ++stats_.query_unavailable;
      return;
    }
    const size_t count = FillQuery(items.subspan(done), results.subspan(done));
    std::get<wire::Query>(query_.body).deadline = ToWire(deadline);
    Waiter waiter;
    waiter.items = items.subspan(done, count);
    waiter.results = results.subspan(done, count);
    if (!RunQuery(lock, &waiter, deadline)) {
      ++hang_ups;
      continue;
    }
    if (waiter.code == Errc::kTimeout) return;
    done += count;
  }
}

// Puts the first items into query_ that fit in one message and name the same consumers.
size_t SocketClient::FillQuery(std::span<const QuerySpec> items, std::span<QueryResult> results) {
  HR_CHECK(!items.empty() && results.size() == items.size());
  auto& query = std::get<wire::Query>(query_.body);
  query.registration = session_->registration();
  query.consumers = std::max(1u, items[0].consumers);
  query.items.clear();
  size_t bytes = kMessageBytes;
  for (const QuerySpec& item : items) {
    bytes += kItemBytes + item.hashes.raw().size();
    const bool fits = bytes <= session_->max_frame() && query.items.size() < wire::kMaxQueries &&
                      std::max(1u, item.consumers) == query.consumers &&
                      CheckItem(item) == Errc::kOk;
    if (!fits && !query.items.empty()) break;
    query.items.push_back({.handle = session_->PrefixIn(item.prefix),
                           .handle_blocks = item.prefix_blocks,
                           .hashes = item.hashes,
                           .want_lease = item.want_lease,
                           .want_handle = item.want_prefix,
                           .min_blocks = item.min_blocks});
  }
  return query.items.size();
}

// False when the connection ended before an answer. A timeout is an answer: waiter->code.
bool SocketClient::RunQuery(Lock& lock, Waiter* waiter, Time deadline) {
  waiter->id = query_.id = NextId();
  waiter->type = wire::MessageType::kQuery;
  frame_.clear();
  wire::EncodeRequest(query_, &frame_);
  const Status sent = session_->link()->Send(frame_);
  if (!sent && sent.error().code == Errc::kUnavailable) {
    Disconnect(Ending::kHangUp, MonotonicNow());
    return false;
  }
  if (sent) Await(lock, waiter, deadline);
  if (waiter->lost) return false;
  if (!waiter->done) {  // it does not read, or does not answer
    waiter->code = Errc::kTimeout;
    ++stats_.query_timeouts;
    breaker_.Trip(MonotonicNow());
  }
  if (waiter->code != Errc::kOk) {
    std::ranges::fill(waiter->results, QueryResult{.code = waiter->code});
  }
  return true;
}

void SocketClient::Release(std::span<const uint64_t> leases) {
  const Lock lock(mutex_);
  while (session_ && !leases.empty()) {
    const size_t count = std::min(kMaxNumbers, leases.size());
    wire::Release release;
    for (const uint64_t lease : leases.first(count)) {
      if (lease != 0) release.leases.push_back(session_->LeaseIn(lease));
    }
    leases = leases.subspan(count);
    // What a server that does not read is not told, it learns by the lease's own deadline.
    if (session_->greeted() && !release.leases.empty()) (void)SendOneWay(std::move(release));
  }
}

void SocketClient::DropPrefixes(std::span<const uint64_t> prefixes) {
  const Lock lock(mutex_);
  while (session_ && !prefixes.empty()) {
    const size_t count = std::min(kMaxNumbers, prefixes.size());
    wire::DropHandle drop;
    for (const uint64_t prefix : prefixes.first(count)) {
      if (prefix != 0) drop.handles.push_back(session_->PrefixIn(prefix));
    }
    prefixes = prefixes.subspan(count);
    // As with leases: the server's own limit on handles ends what it is not told.
    if (session_->greeted() && !drop.handles.empty()) (void)SendOneWay(std::move(drop));
  }
}

Result<Submission> SocketClient::SubmitSave(std::span<const wire::SaveChain> chains) {
  if (chains.empty()) return Fail(Errc::kInvalid, "chains must not be empty");
  for (const wire::SaveChain& chain : chains) HR_RETURN_IF_ERROR(CheckChain(chain));
  const Lock lock(mutex_);
  const Time now = MonotonicNow();
  Drive(now);
  if (!ReadyNow()) return Fail(Errc::kUnavailable, "not registered with a server now");
  wire::Save save;
  save.registration = session_->registration();
  save.deadline = ToWire(now + options_.transfer_timeout);
  save.chains.assign(chains.begin(), chains.end());
  return Submit(wire::MessageType::kSave, std::move(save), now);
}

Result<Submission> SocketClient::SubmitLoad(uint64_t lease, uint32_t first, uint32_t count,
                                            const std::vector<std::vector<uint32_t>>& blocks) {
  if (lease == 0) return Fail(Errc::kInvalid, "lease must not be 0");
  if (count == 0 || count > wire::kMaxHashes || first > UINT32_MAX - count) {
    return Fail(Errc::kInvalid, "count must be 1 to 65536");
  }
  if (blocks.empty() || blocks.size() > wire::kMaxGroups) {
    return Fail(Errc::kInvalid, "blocks must have 1 to 16 groups");
  }
  for (const std::vector<uint32_t>& group : blocks) {
    if (!group.empty() && group.size() != count) {
      return Fail(Errc::kInvalid, "blocks of a group: `count` entries or none");
    }
  }
  const Lock lock(mutex_);
  const Time now = MonotonicNow();
  Drive(now);
  if (!ReadyNow()) return Fail(Errc::kUnavailable, "not registered with a server now");
  wire::Load load;
  load.registration = session_->registration();
  load.lease = session_->LeaseIn(lease);
  load.first = first;
  load.count = count;
  load.deadline = ToWire(now + options_.transfer_timeout);
  load.blocks_by_group = blocks;
  return Submit(wire::MessageType::kLoad, std::move(load), now);
}

Result<Submission> SocketClient::Submit(wire::MessageType type, wire::Request body, Time now) {
  HR_TRY(const Transfers::Started started,
         transfers_.Start(type, now + options_.transfer_timeout, session_->gates()));
  if (auto* save = std::get_if<wire::Save>(&body)) save->gate = started.gate;
  if (auto* load = std::get_if<wire::Load>(&body)) load->gate = started.gate;
  frame_.clear();
  wire::EncodeRequest({started.submission, std::move(body)}, &frame_);
  if (frame_.size() > session_->max_frame()) {
    transfers_.Undo(started.submission);
    return Fail(Errc::kInvalid, "more blocks than one message can name: submit fewer at once");
  }
  const Status sent = session_->link()->Send(frame_);
  if (!sent) {
    transfers_.Undo(started.submission);
    if (sent.error().code == Errc::kUnavailable) Disconnect(Ending::kHangUp, now);
    return Fail(Errc::kUnavailable, sent.error().what, sent.error().os);
  }
  ++(type == wire::MessageType::kSave ? stats_.saves : stats_.loads);
  return started.submission;
}

void SocketClient::CheckTransfers(Time now) {
  transfers_.Check(now, &cancels_);
  if (cancels_.empty()) return;
  SendCancels();
  breaker_.Trip(now);  // their deadlines passed without a word
}

// Best effort: the gates are set already.
void SocketClient::SendCancels() {
  for (const Submission submission : cancels_) {
    ++stats_.revoked;
    if (session_) (void)SendOneWay(wire::Cancel{submission});
  }
  cancels_.clear();
}

size_t SocketClient::Poll(std::vector<Completion>* out) {
  return Wait(Duration::zero(), out, SIZE_MAX);
}

size_t SocketClient::Wait(Duration wait, std::vector<Completion>* out, size_t most) {
  Lock lock(mutex_);
  Time now = MonotonicNow();
  const Time deadline = DeadlineOf(now, wait);
  while (true) {
    Drive(now);
    if (session_) ReadAll(now);
    CheckTransfers(now);
    const bool nothing_comes = closed_ && transfers_.unfinished() == 0;
    if (transfers_.has_completions() || nothing_comes || now >= deadline) {
      return transfers_.Take(most, out);
    }
    const Time check = std::max(transfers_.next_check(), now + Transfers::kFencePause);
    const Time probe = closed_ ? deadline : breaker_.probe_at();
    WaitForBytes(lock, std::min({deadline, check, probe}));
    now = MonotonicNow();
  }
}

void SocketClient::Revoke(Submission submission) {
  const Lock lock(mutex_);
  if (!transfers_.Revoke(submission, Errc::kCancelled, MonotonicNow())) return;
  cancels_.push_back(submission);
  SendCancels();
}

// One request that waits for its reply. kUnavailable at once while the server does not answer.
Status SocketClient::Call(Lock& lock, wire::Request body, Waiter* waiter, Duration wait) {
  const Time deadline = DeadlineOf(MonotonicNow(), wait);
  waiter->id = NextId();
  waiter->type = wire::TypeOf(body);
  frame_.clear();
  wire::EncodeRequest({waiter->id, std::move(body)}, &frame_);
  const Status sent = session_->link()->Send(frame_);
  if (!sent) {
    if (sent.error().code == Errc::kUnavailable) Disconnect(Ending::kHangUp, MonotonicNow());
    return Fail(Errc::kUnavailable, "the server hung up or does not read");
  }
  Await(lock, waiter, deadline);
  if (waiter->lost) return Fail(Errc::kUnavailable, "the server hung up");
  if (!waiter->done) {
    if (wait >= options_.call_timeout) breaker_.Trip(MonotonicNow());
    return Fail(Errc::kTimeout, "the server has not answered in time");
  }
  if (waiter->code != Errc::kOk) return Fail(waiter->code, "the server refuses the call");
  return {};
}

Result<uint64_t> SocketClient::Clear(Duration wait) {
  Lock lock(mutex_);
  if (!AwaitReady(lock, DeadlineOf(MonotonicNow(), wait), Level::kRegistered)) {
    return Fail(Errc::kUnavailable, "not registered with a server now");
  }
  Waiter waiter;
  HR_RETURN_IF_ERROR(Call(lock, wire::Clear{session_->registration()}, &waiter, wait));
  return waiter.number;
}

Result<bool> SocketClient::Purge(const wire::BlockHash& hash, Duration wait) {
  if (hash.empty()) return Fail(Errc::kInvalid, "hash must not be empty");
  Lock lock(mutex_);
  if (!AwaitReady(lock, DeadlineOf(MonotonicNow(), wait), Level::kRegistered)) {
    return Fail(Errc::kUnavailable, "not registered with a server now");
  }
  Waiter waiter;
  HR_RETURN_IF_ERROR(Call(lock, wire::Purge{session_->registration(), hash}, &waiter, wait));
  return waiter.number != 0;
}

Result<std::string> SocketClient::ServerStatus(Duration wait) {
  Lock lock(mutex_);
  if (!AwaitReady(lock, DeadlineOf(MonotonicNow(), wait), Level::kGreeted)) {
    return Fail(Errc::kUnavailable, "no server answers at the endpoint");
  }
  Waiter waiter;
  HR_RETURN_IF_ERROR(Call(lock, wire::StatusRequest{}, &waiter, wait));
  return std::move(waiter.text);
}

void SocketClient::Close(Duration wait) {
  Lock lock(mutex_);
  closed_ = true;
  Time now = MonotonicNow();
  const Time deadline = DeadlineOf(now, wait);
  transfers_.RevokeAll(Errc::kCancelled, now, &cancels_);
  SendCancels();
  while (true) {
    if (session_) ReadAll(now);
    transfers_.Check(now, &cancels_);
    cancels_.clear();
    if (transfers_.unfinished() == 0 || now >= deadline) break;
    const Time check = std::max(transfers_.next_check(), now + Transfers::kFencePause);
    WaitForBytes(lock, std::min(deadline, check));
    now = MonotonicNow();
  }
  if (session_) Disconnect(Ending::kClosed, now);
}

ClientStats SocketClient::stats() {
  const Lock lock(mutex_);
  ClientStats stats = stats_;
  stats.breaker_opens = breaker_.opens();
  stats.connected = session_ && session_->greeted();
  stats.registered = session_ && session_->registered();
  stats.breaker_closed = !breaker_.open();
  return stats;
}

}  // namespace headrace::client
