#include "indexer/redis_streams.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace headrace::indexer {
namespace {

constexpr Duration kPause = milliseconds(50);  // before a run is said again

bool Anew(WriteKind kind) {
  return kind == WriteKind::kClear || kind == WriteKind::kDrop;
}

}  // namespace

void RedisStreams::SetWriter(RedisWriter* writer) {
  writer_ = writer;
  PumpAll();
}

RedisStreams::Stream* RedisStreams::Find(std::string_view pod) {
  auto found = streams_.find(pod);
  if (found == streams_.end()) {
    found = streams_.emplace(std::string(pod), std::make_unique<Stream>()).first;
    found->second->pod = pod;
  }
  return found->second.get();
}

void RedisStreams::Say(WriteOp op) {
  Stream* stream = Find(op.holder.pod);
  if (Anew(op.kind)) {
    Begin(stream, std::move(op));
  } else if (stream->lost) {
    dropped_keys_ += op.engine.size() + op.keys.size();
    return;
  } else if (queued_keys_ + Weight(op) > limits_.max_queued_keys) {
    dropped_keys_ += op.engine.size() + op.keys.size();
    Lose(stream, {Errc::kLimit, 0, "too many writes wait for Redis"});
    return;
  } else {
    stream->forgotten = false;
    Queue(stream, std::move(op));
  }
  Pump(stream);
}

// What was said before does not count any more.
void RedisStreams::Begin(Stream* stream, WriteOp op) {
  Unqueue(stream);
  stream->flying_void = stream->flying != nullptr;
  stream->lost = stream->rooted = false;
  stream->life.clear();
  stream->forgotten = op.kind == WriteKind::kDrop;
  Queue(stream, std::move(op));
}

void RedisStreams::Queue(Stream* stream, WriteOp op) {
  queued_keys_ += Weight(op);
  ++stream->said;
  stream->queue.push_back(std::move(op));
}

void RedisStreams::Unqueue(Stream* stream) {
  for (const WriteOp& op : stream->queue) queued_keys_ -= Weight(op);
  stream->written += stream->queue.size();
  stream->queue.clear();
  if (stream->again != nullptr) stream->written += stream->again->ops.size();
  stream->again = nullptr;
}

// Takes what waits of a pod, up to a run's limit.
std::shared_ptr<const WriteRun> RedisStreams::TakeRun(Stream* stream) {
  auto run = std::make_shared<WriteRun>();
  run->pod = stream->pod;
  run->life = stream->life;
  run->sequence = ++stream->sequence;
  uint64_t keys = 0;
  while (!stream->queue.empty()) {
    WriteOp& op = stream->queue.front();
    const uint64_t more = op.engine.size() + op.keys.size();
    if (!run->ops.empty() && keys + more > limits_.max_run_keys) break;
    HR_CHECK(run->ops.empty() || !Anew(op.kind));
    keys += more;
    queued_keys_ -= Weight(op);
    run->ops.push_back(std::move(op));
    stream->queue.pop_front();
  }
  return run;
}

bool RedisStreams::HasWork(const Stream& stream) {
  return stream.flying == nullptr && (stream.again != nullptr || !stream.queue.empty());
}

// Sends what waits of a pod, unless a run of it is on its way, when its turn comes: pods that
// always have something to say leave room for the others.
void RedisStreams::Pump(Stream* stream) {
  if (HasWork(*stream) && !std::exchange(stream->in_line, true)) line_.push_back(stream);
  SendLine();
}

void RedisStreams::SendLine() {
  while (writer_ != nullptr && runs_ < limits_.max_runs && !line_.empty()) {
    Stream* stream = line_.front();
    line_.pop_front();
    stream->in_line = false;
    if (HasWork(*stream)) Send(stream);
  }
}

void RedisStreams::Send(Stream* stream) {
  // What is said again is the same to the letter: it may have been carried out.
  stream->flying =
      stream->again != nullptr ? std::exchange(stream->again, nullptr) : TakeRun(stream);
  stream->flying_void = false;
  ++runs_;
  writer_->Write(stream->flying, [this, alive = alive_, stream](const Result<Written>& written) {
    if (*alive) OnWritten(stream, written);
  });
}

void RedisStreams::OnWritten(Stream* stream, const Result<Written>& written) {
  HR_CHECK(stream->flying != nullptr && runs_ > 0);
  --runs_;
  const std::shared_ptr<const WriteRun> run = std::exchange(stream->flying, nullptr);
  if (written) {
    added_ += written->added;
    removed_ += written->removed;
    if (!stream->flying_void && !stream->lost) {
      stream->life = written->life;
      stream->rooted = !stream->forgotten;
    }
    stream->written += run->ops.size();
  } else if (stream->flying_void || stream->lost) {
    stream->written += run->ops.size();  // nobody asks any more
  } else if (written.error().code == Errc::kUnavailable) {
    stream->again = run;
    Again();
    return;
  } else {
    stream->written += run->ops.size();
    Lose(stream, written.error());
  }
  Answer(stream);
  const bool over = stream->forgotten && !stream->lost && !HasWork(*stream);
  if (over && stream->waiters.empty()) {
    std::erase(line_, stream);
    streams_.erase(stream->pod);
    SendLine();
    return;
  }
  Pump(stream);
}

void RedisStreams::PumpAll() {
  for (auto& [pod, stream] : streams_) Pump(stream.get());
}

void RedisStreams::Again() {
  if (std::exchange(again_due_, true)) return;
  loop_->At(MonotonicNow() + kPause, [this, alive = alive_] {
    if (!*alive) return;
    again_due_ = false;
    PumpAll();
  });
}

void RedisStreams::Lose(Stream* stream, const Error& why) {
  HR_CHECK(!stream->lost);
  for (const WriteOp& op : stream->queue) dropped_keys_ += op.engine.size() + op.keys.size();
  Unqueue(stream);
  stream->lost = true;
  stream->rooted = false;
  stream->life.clear();
  ++lost_streams_;
  HR_WARN("redis: the stream of pod {} is lost: {}", stream->pod, why.what);
  loop_->Post([this, alive = alive_, pod = stream->pod, why] {
    if (!*alive) return;
    Answer(Find(pod));
    if (on_lost_ && IsLost(pod)) on_lost_(pod, why);
  });
}

void RedisStreams::LoseAll(const Error& why) {
  for (auto& [pod, stream] : streams_) {
    const bool may_have_begun =
        stream->again != nullptr || (stream->flying != nullptr && !stream->flying_void);
    if (!stream->lost && (stream->rooted || may_have_begun)) Lose(stream.get(), why);
  }
}

std::vector<std::pair<std::string, std::string>> RedisStreams::Rooted() const {
  std::vector<std::pair<std::string, std::string>> rooted;
  for (const auto& [pod, stream] : streams_) {
    if (stream->rooted && !stream->life.empty()) rooted.emplace_back(pod, stream->life);
  }
  return rooted;
}

void RedisStreams::Forgotten(const std::string& pod, std::string_view life) {
  auto found = streams_.find(pod);
  if (found == streams_.end()) return;
  Stream* stream = found->second.get();
  if (!stream->rooted || stream->life != life) return;  // it began anew meanwhile
  Lose(stream, {Errc::kGone, 0, "Redis does not know the pod any more"});
}

bool RedisStreams::IsLost(std::string_view pod) const {
  auto found = streams_.find(pod);
  return found != streams_.end() && found->second->lost;
}

void RedisStreams::Flush(std::string_view pod, RemoteIndex::Done done) {
  HR_CHECK(done != nullptr);
  Stream* stream = Find(pod);
  stream->waiters.push_back({stream->said, std::move(done)});
  loop_->Post([this, alive = alive_, name = std::string(pod)] {
    if (*alive) Answer(Find(name));
  });
}

// Tells those whose operations are written, or lost.
void RedisStreams::Answer(Stream* stream) {
  while (!stream->waiters.empty()) {
    const bool written = stream->written >= stream->waiters.front().said;
    if (!written && !stream->lost) return;
    RemoteIndex::Done done = std::move(stream->waiters.front().done);
    stream->waiters.pop_front();
    if (stream->lost) {
      done(Fail(Errc::kGone, "the stream is lost"));
    } else {
      done({});
    }
  }
}

}  // namespace headrace::indexer
