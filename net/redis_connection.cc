#include "net/redis_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace headrace::net {
namespace {

constexpr size_t kKeptBytes = 1 << 20;  // of the buffer, between replies

// The value of "name:value\r\n" in the text that INFO gives.
std::string InfoField(std::string_view info, std::string_view name) {
  const std::string head = fmt::format("{}:", name);
  const size_t at = info.find(head);
  if (at == std::string_view::npos) return {};
  std::string_view rest = info.substr(at + head.size());
  return std::string(rest.substr(0, rest.find_first_of("\r\n")));
}

std::string Shown(const StreamTarget& target) {
  return target.host.empty() ? target.path : fmt::format("{}:{}", target.host, target.port);
}

}  // namespace

RedisConnection::RedisConnection(Loop* loop, const RedisOptions* options, StreamTarget target,
                                 TlsContext* tls, Events events)
    : loop_(loop),
      options_(options),
      target_(std::move(target)),
      tls_(tls),
      events_(std::move(events)),
      pause_(options->pause_min),
      random_(options->seed) {
  HR_CHECK(events_.up && events_.down);
  HR_CHECK(options->pause_min > Duration(0) && options->pause_max >= options->pause_min);
  HR_CHECK(options->connect_timeout > Duration(0) && options->command_timeout > Duration(0));
  Connect();
}

RedisConnection::~RedisConnection() {
  loop_->CancelTimer(timer_);
  if (stream_ != nullptr) stream_->Stop();
}

void RedisConnection::Connect() {
  HR_CHECK(stream_ == nullptr && waiting_.empty());
  state_ = State::kConnecting;
  since_ = MonotonicNow();
  in_.clear();
  in_at_ = 0;
  stream_ =
      ClientStream::Connect(loop_, target_, tls_,
                            {.opened = [this] { OnOpened(); },
                             .received = [this](std::string_view bytes) { OnReceived(bytes); },
                             .closed =
                                 [this](const Error& error) {
                                   std::string why = error.what;
                                   if (error.os != 0)
                                     why += fmt::format(": {}", strerrordesc_np(error.os));
                                   if (tls_ != nullptr && !tls_->trouble().empty())
                                     why += ": " + tls_->trouble();
                                   Break(error, why);
                                 }});
  Arm(options_->connect_timeout);
}

// Who we are, which database, and which process answers.
void RedisConnection::OnOpened() {
  state_ = State::kGreeting;
  std::string commands;
  RespWriter writer(&commands);
  const RedisUrl& url = options_->url;
  greetings_ = 1;
  if (!url.password.empty()) {
    ++greetings_;
    if (url.user.empty()) {
      writer.Command({"AUTH", url.password});
    } else {
      writer.Command({"AUTH", url.user, url.password});
    }
  }
  if (url.database != 0) {
    ++greetings_;
    writer.Command({"SELECT", std::to_string(url.database)});
  }
  writer.Command({"INFO", "server"});
  parser_.Reset(greetings_);
  stream_->Send(commands);
}

void RedisConnection::OnReceived(std::string_view bytes) {
  in_.append(bytes);
  while (state_ == State::kGreeting || !waiting_.empty()) {
    if (!OnReplies()) break;
  }
  if (stream_ == nullptr) return;
  if (state_ == State::kUp && waiting_.empty() && in_at_ < in_.size()) {
    Break({Errc::kInvalid, 0, "the server answers what was not asked"},
          "the server answers what was not asked");
    return;
  }
  // What was read goes, or a pipeline that never runs dry would keep all of it.
  in_.erase(0, in_at_);
  in_at_ = 0;
  if (in_.empty() && in_.capacity() > kKeptBytes) in_.shrink_to_fit();
}

// The replies of one call. False: not all there, or the connection is over.
bool RedisConnection::OnReplies() {
  std::string_view bytes = std::string_view(in_).substr(in_at_);
  auto complete = parser_.Parse(bytes);
  if (!complete) {
    Break(complete.error(), complete.error().what);
    return false;
  }
  if (!*complete) return false;
  in_at_ += parser_.size();
  if (state_ == State::kGreeting) {
    OnGreeting(parser_.root(bytes));
    return state_ == State::kUp;
  }
  Waiting first = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= first.bytes;
  // The callback may call, which must find a parser that is free.
  RespParser answered =
      std::exchange(parser_, RespParser(waiting_.empty() ? 1 : waiting_.front().replies));
  first.done(answered.root(bytes));
  return state_ == State::kUp;
}

void RedisConnection::OnGreeting(const RespValue& replies) {
  RespValue reply = replies.first();
  for (uint32_t i = 0; i < greetings_; ++i, reply = reply.next()) {
    if (!reply.is_error()) {
      if (i + 1 == greetings_) break;
      continue;
    }
    // INFO may be forbidden to this user; then restarts are not seen.
    const bool last = i + 1 == greetings_;
    if (last && reply.text().starts_with("NOPERM")) {
      HR_WARN("redis {}: INFO is refused, so a restart of it cannot be told: {}", Shown(target_),
              reply.text());
      break;
    }
    Break({Errc::kPermission, 0, "the server refused the greeting"}, std::string(reply.text()));
    return;
  }
  const std::string id =
      reply.kind() == RespKind::kBulk ? InfoField(reply.text(), "run_id") : std::string();
  const bool restarted = !run_id_.empty() && run_id_ != id;
  run_id_ = id;
  state_ = State::kUp;
  trouble_.clear();
  pause_ = options_->pause_min;
  HR_INFO("redis {}: connected{}", Shown(target_), restarted ? ", it was restarted" : "");
  Arm(options_->command_timeout / 4);
  events_.up(restarted);
}

Status RedisConnection::Call(std::string_view commands, uint32_t replies, Done done) {
  HR_CHECK(replies > 0 && done != nullptr);
  if (state_ != State::kUp) return Fail(Errc::kUnavailable, "no connection to the server");
  if (waiting_.size() >= options_->max_pipeline ||
      waiting_bytes_ + commands.size() > options_->max_pipeline_bytes) {
    return Fail(Errc::kLimit, "too many calls wait for the server");
  }
  if (waiting_.empty()) parser_.Reset(replies);
  waiting_.push_back({replies, commands.size(), MonotonicNow(), std::move(done)});
  waiting_bytes_ += commands.size();
  stream_->Send(commands);
  return {};
}

void RedisConnection::Arm(Duration after) {
  loop_->CancelTimer(timer_);
  timer_ = loop_->At(MonotonicNow() + after, [this] { Watchdog(); });
}

void RedisConnection::Watchdog() {
  const Time now = MonotonicNow();
  switch (state_) {
    case State::kPausing:
      ++reconnects_;
      Connect();
      return;
    case State::kConnecting:
    case State::kGreeting:
      Break({Errc::kTimeout, 0, "connecting took too long"}, "connecting took too long");
      return;
    case State::kUp:
      if (!waiting_.empty() && now - waiting_.front().sent > options_->command_timeout) {
        Break({Errc::kTimeout, 0, "the server does not answer"}, "the server does not answer");
        return;
      }
      Arm(options_->command_timeout / 4);
      return;
  }
}

void RedisConnection::Break(const Error& error, const std::string& trouble) {
  HR_CHECK(state_ != State::kPausing);
  const bool was_up = state_ == State::kUp;
  // Once a spell: what keeps failing is one fact.
  if (was_up || trouble != trouble_) HR_WARN("redis {}: {}", Shown(target_), trouble);
  state_ = State::kPausing;
  trouble_ = trouble;
  stream_->Stop();
  // It may be what called us: it ends in a later turn.
  loop_->Post([dead = std::shared_ptr<ClientStream>(std::move(stream_))] {});
  const auto jitter = static_cast<int64_t>(random_.Below(static_cast<uint64_t>(pause_.count())));
  Arm(pause_ / 2 + Duration(jitter / 2));
  pause_ = std::min(pause_ * 2, options_->pause_max);
  std::deque<Waiting> dropped = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  const Errc code = error.code == Errc::kTimeout ? Errc::kTimeout : Errc::kGone;
  for (Waiting& waiting : dropped) waiting.done(Fail(code, error.what, error.os));
  if (was_up) events_.down(error);
}

}  // namespace headrace::net
