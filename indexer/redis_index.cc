#include "indexer/redis_index.h"

#include <sys/random.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "indexer/redis_reader.h"
#include "indexer/redis_rules.h"
#include "indexer/remote_score.h"

namespace headrace::indexer {
namespace {

// An engine key is not written again for this part of the sweep's grace.
constexpr int kFreshShare = 4;

class RedisIndex final : public RemoteIndex {
 public:
  RedisIndex(Loop* loop, RedisIndexOptions options)
      : loop_(loop),
        options_(std::move(options)),
        names_(options_.prefix),
        streams_(loop, options_.limits) {}
  ~RedisIndex() override {
    *alive_ = false;
    loop_->CancelTimer(check_timer_);
  }

  Status Open(std::string* message);

  void OnLost(LostHandler handler) override { streams_.OnLost(std::move(handler)); }
  void Add(const RemoteHolder& holder, std::span<const EngineKey> engine,
           std::span<const RequestKey> keys) override;
  void AddKnown(const RemoteHolder& holder, std::span<const EngineKey> engine) override {
    SayParts(WriteKind::kAddKnown, holder, engine, {});
  }
  void Remove(const RemoteHolder& holder, std::span<const EngineKey> engine) override {
    SayParts(WriteKind::kRemove, holder, engine, {});
  }
  void RemoveKeys(const RemoteHolder& holder, std::span<const RequestKey> keys) override {
    SayParts(WriteKind::kRemoveKeys, holder, {}, keys);
  }
  void Clear(std::string_view pod) override { Begin(WriteKind::kClear, pod); }
  void RemovePod(std::string_view pod) override { Begin(WriteKind::kDrop, pod); }
  // llm-d's schema has no place for it.
  void Describe(std::string_view pod, const RemoteRules& rules) override {
    if (options_.schema == RedisSchema::kNative) rules_->Say(pod, rules);
  }
  void Flush(std::string_view pod, Done done) override { streams_.Flush(pod, std::move(done)); }

  void Score(RemoteScoreRequest request, ScoreDone done) override;
  void Lookup(std::vector<RequestKey> keys, LookupDone done) override;
  void Resolve(std::vector<EngineKey> engine, ResolveDone done) override;

  bool available() const override { return client_->up() && refusal_.empty(); }
  std::string trouble() const override { return refusal_.empty() ? client_->trouble() : refusal_; }
  RemoteStats stats() const override;

 private:
  void OnUp(bool lost);
  void MakeWriter();
  void ArmCheck();
  void Check();
  void Say(WriteKind kind, const RemoteHolder& holder, std::span<const EngineKey> engine,
           std::span<const RequestKey> keys);
  void SayParts(WriteKind kind, const RemoteHolder& holder, std::span<const EngineKey> engine,
                std::span<const RequestKey> keys);
  void Begin(WriteKind kind, std::string_view pod) {
    Say(kind, RemoteHolder{std::string(pod), "", -1, false}, {}, {});
  }
  void Later(std::function<void()> work) {
    loop_->Post([alive = alive_, work = std::move(work)] {
      if (*alive) work();
    });
  }
  // Calls `done` with an answer that needs no question; false: ask.
  template <typename Callback, typename Answer>
  bool AnswerWithout(bool nothing_asked, const Callback& done, const Answer& empty);

  Loop* const loop_;
  const RedisIndexOptions options_;
  const NativeNames names_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<net::RedisClient> client_;
  std::unique_ptr<RedisWriter> writer_;
  std::unique_ptr<RedisReader> reader_;
  std::unique_ptr<RedisSweep> sweep_;
  std::unique_ptr<RedisRules> rules_;
  RedisStreams streams_;
  std::string refusal_;  // why this Redis cannot be used
  std::string writer_name_;
  std::unique_ptr<RemoteScorer> scorer_;
  uint64_t check_timer_ = 0;
};

Status RedisIndex::Open(std::string* message) {
  uint64_t writer = options_.writer;
  while (writer == 0) {
    const ssize_t got = getrandom(&writer, sizeof(writer), 0);
    if (got != ssize_t{sizeof(writer)}) return Fail(Errc::kIo, "no random number", errno);
  }
  writer_name_ = KeyBytes(writer);
  scorer_ = std::make_unique<RemoteScorer>(options_.tiers, writer);
  HR_TRY(client_, net::RedisClient::Create(loop_, options_.redis,
                                           {[this](bool lost) { OnUp(lost); },
                                            [this](const Error& error) {
                                              streams_.SetWriter(nullptr);
                                              HR_WARN("redis: the index is not available: {}",
                                                      error.what);
                                            }},
                                           message));
  reader_ = std::make_unique<RedisReader>(client_.get(), &names_, options_.schema);
  rules_ = std::make_unique<RedisRules>(client_.get(), &names_, options_.sweep.ttl);
  return {};
}

void RedisIndex::OnUp(bool lost) {
  reader_->Forget();
  if (lost) streams_.LoseAll({Errc::kGone, 0, "Redis was restarted and may have forgotten"});
  if (options_.schema == RedisSchema::kLlmd && client_->cluster()) {
    refusal_ = "llm-d's schema knows no Cluster";
    HR_ERROR("redis: {}", refusal_);
    return;
  }
  if (writer_ == nullptr) MakeWriter();
  streams_.SetWriter(writer_.get());
  rules_->OnUp();
}

// Which kind of server it is is known only now.
void RedisIndex::MakeWriter() {
  const WriterParts parts{client_.get(), &names_, options_.sweep.ttl,
                          options_.sweep.grace / kFreshShare, writer_name_};
  if (options_.schema == RedisSchema::kLlmd) {
    writer_ = MakeLlmdWriter(parts);
    return;
  }
  writer_ = client_->cluster() ? MakeClusterWriter(parts) : MakeScriptWriter(parts);
  sweep_ = std::make_unique<RedisSweep>(loop_, client_.get(), &names_, options_.sweep);
  if (options_.check > Duration(0)) ArmCheck();
}

void RedisIndex::ArmCheck() {
  check_timer_ = loop_->At(MonotonicNow() + options_.check, [this] {
    check_timer_ = 0;
    Check();
  });
}

// A pod that is silent does not learn from its writes that Redis was emptied.
void RedisIndex::Check() {
  ArmCheck();
  rules_->Check();
  auto asked =
      std::make_shared<const std::vector<std::pair<std::string, std::string>>>(streams_.Rooted());
  if (asked->empty() || !available()) return;
  net::RedisBatch batch;
  batch.Command(names_.pods, 2 + asked->size());
  batch.Word("HMGET");
  batch.Word(names_.pods);
  for (const auto& [pod, life] : *asked) batch.Word(pod);
  client_->Call(std::move(batch), [this, asked](const Result<net::RedisReplies>& replies) {
    if (!replies || !CheckReplies(*replies) || (*replies)[0].size() != asked->size()) return;
    net::RespValue record = (*replies)[0].first();
    for (size_t i = 0; i < asked->size(); ++i) {
      if (record.is_nil()) streams_.Forgotten((*asked)[i].first, (*asked)[i].second);
      if (i + 1 < asked->size()) record = record.next();
    }
  });
}

void RedisIndex::Say(WriteKind kind, const RemoteHolder& holder, std::span<const EngineKey> engine,
                     std::span<const RequestKey> keys) {
  streams_.Say({kind, holder, {engine.begin(), engine.end()}, {keys.begin(), keys.end()}});
}

// Long lists go in pieces, so that no run holds Redis up for long.
void RedisIndex::SayParts(WriteKind kind, const RemoteHolder& holder,
                          std::span<const EngineKey> engine, std::span<const RequestKey> keys) {
  HR_CHECK(engine.empty() || keys.empty() || engine.size() == keys.size());
  const size_t piece = options_.limits.max_run_keys;
  const size_t count = std::max(engine.size(), keys.size());
  for (size_t at = 0; at < count; at += piece) {
    const size_t length = std::min(piece, count - at);
    Say(kind, holder, engine.empty() ? engine : engine.subspan(at, length),
        keys.empty() ? keys : keys.subspan(at, length));
  }
}

void RedisIndex::Add(const RemoteHolder& holder, std::span<const EngineKey> engine,
                     std::span<const RequestKey> keys) {
  if (keys.empty()) return;
  if (engine.empty() || engine.size() == keys.size()) {
    SayParts(WriteKind::kAdd, holder, engine, keys);
  } else {
    Say(WriteKind::kAdd, holder, engine, keys);  // they join as a whole
  }
}

template <typename Callback, typename Answer>
bool RedisIndex::AnswerWithout(bool nothing_asked, const Callback& done, const Answer& empty) {
  HR_CHECK(done != nullptr);
  if (!available()) {
    Later([done] { done(Fail(Errc::kUnavailable, "Redis is not available")); });
    return true;
  }
  if (nothing_asked) Later([done, empty] { done(empty); });
  return nothing_asked;
}

void RedisIndex::Score(RemoteScoreRequest request, ScoreDone done) {
  if (AnswerWithout(request.keys.empty(), done, std::vector<RemoteScore>())) return;
  auto asked = std::make_shared<const RemoteScoreRequest>(std::move(request));
  reader_->HoldersToScore(asked->keys, [this, asked, done = std::move(done)](
                                           const Result<std::vector<HolderRun>>& runs) {
    if (!runs) {
      done(Fail(runs.error()));
    } else {
      done(scorer_->Score(*runs, *asked, reader_->rules()));
    }
  });
}

void RedisIndex::Lookup(std::vector<RequestKey> keys, LookupDone done) {
  if (AnswerWithout(keys.empty(), done, std::vector<RemoteBlock>())) return;
  auto asked = std::make_shared<const std::vector<RequestKey>>(std::move(keys));
  reader_->Holders(*asked,
                   [asked, done = std::move(done)](const Result<std::vector<HolderRun>>& runs) {
                     if (!runs) {
                       done(Fail(runs.error()));
                       return;
                     }
                     std::vector<RemoteBlock> blocks;
                     for (const HolderRun& run : *runs) {
                       for (uint32_t i = 0; i < run.keys && blocks.size() < asked->size(); ++i) {
                         blocks.push_back({(*asked)[blocks.size()], run.holders});
                       }
                     }
                     done(std::move(blocks));
                   });
}

void RedisIndex::Resolve(std::vector<EngineKey> engine, ResolveDone done) {
  if (AnswerWithout(engine.empty(), done, std::vector<std::vector<RequestKey>>())) return;
  reader_->Resolve(engine, std::move(done));
}

RemoteStats RedisIndex::stats() const {
  RemoteStats stats;
  stats.round_trips = client_->counters().round_trips;
  stats.moved = client_->counters().moved;
  stats.asked = client_->counters().asked;
  stats.reconnects = std::as_const(*client_).nodes().reconnects();
  stats.added = streams_.added();
  stats.removed = streams_.removed();
  stats.queued_keys = streams_.queued_keys();
  stats.dropped_keys = streams_.dropped_keys();
  stats.lost_streams = streams_.lost_streams();
  stats.unreadable = reader_->unreadable();
  if (sweep_ != nullptr) {
    stats.swept_fields = sweep_->fields();
    stats.swept_keys = sweep_->keys();
  }
  return stats;
}

}  // namespace

Result<std::unique_ptr<RemoteIndex>> CreateRedisIndex(Loop* loop, RedisIndexOptions options,
                                                      std::string* message) {
  HR_CHECK(loop != nullptr && message != nullptr);
  auto index = std::make_unique<RedisIndex>(loop, std::move(options));
  HR_RETURN_IF_ERROR(index->Open(message));
  return std::unique_ptr<RemoteIndex>(std::move(index));
}

}  // namespace headrace::indexer
