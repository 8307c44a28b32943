#include "indexer/redis_writer.h"

#include <algorithm>
#include <utility>

#include "base/endian.h"
#include "base/log.h"

namespace headrace::indexer {
namespace {

using net::RedisBatch;
using net::RedisReplies;
using net::RespValue;

class ScriptWriter final : public RedisWriter {
 public:
  explicit ScriptWriter(WriterParts parts) : parts_(std::move(parts)) {}

  void Write(std::shared_ptr<const WriteRun> run, Done done) override {
    HR_CHECK(!run->ops.empty());
    // What begins anew does not care what there was.
    const WriteKind first = run->ops.front().kind;
    const bool anew = first == WriteKind::kClear || first == WriteKind::kDrop;
    RedisBatch batch;
    AppendApply(parts_, *run, anew ? std::string_view() : run->life, run->sequence, &batch);
    parts_.client->Call(std::move(batch),
                        [done = std::move(done)](const Result<RedisReplies>& replies) {
                          // The sequence keeps it from being carried out twice.
                          if (!replies) {
                            done(Fail(Errc::kUnavailable, replies.error().what));
                          } else {
                            done(ReadWritten((*replies)[0]));
                          }
                        });
  }

 private:
  const WriterParts parts_;
};

// llm-d's writes may be said again: a copy is there or not.
class LlmdWriter final : public RedisWriter {
 public:
  explicit LlmdWriter(WriterParts parts) : parts_(std::move(parts)) {}

  void Write(std::shared_ptr<const WriteRun> run, Done done) override {
    HR_CHECK(!run->ops.empty());
    const WriteKind first = run->ops.front().kind;
    if (first != WriteKind::kClear && first != WriteKind::kDrop) {
      Apply(*run, 0, std::move(done));
      return;
    }
    auto walk = std::make_shared<Walk>();
    walk->run = std::move(run);
    walk->done = std::move(done);
    std::string field = LlmdField({walk->run->pod, "", -1, false});
    walk->head = field.substr(0, field.find(R"(,"DeviceTier")"));
    Scan(walk, "0");
  }

 private:
  // Every request key first, then every engine key: only then is known what nobody holds.
  struct Walk {
    std::shared_ptr<const WriteRun> run;
    Done done;
    std::string head;
    bool engines = false;
    std::string cursor;
  };

  void Apply(const WriteRun& run, size_t from, Done done) {
    RedisBatch batch;
    size_t words = 0;
    for (size_t i = from; i < run.ops.size(); ++i) {
      words += 4 + run.ops[i].engine.size() + run.ops[i].keys.size();
    }
    if (words == 0) {
      done(Written{});
      return;
    }
    // It names its keys itself; one word stands for them.
    batch.Eval(LlmdApplyScript(), "engine:", 1, words + 1);
    batch.Word("engine:");
    for (size_t i = from; i < run.ops.size(); ++i) {
      const WriteOp& op = run.ops[i];
      RemoteHolder holder = op.holder;
      holder.pod = run.pod;
      batch.Word(uint64_t{static_cast<uint8_t>(op.kind)});
      batch.Word(LlmdField(holder));
      batch.Word(uint64_t{op.engine.size()});
      batch.Word(uint64_t{op.keys.size()});
      for (EngineKey key : op.engine) batch.Word(key);
      for (RequestKey key : op.keys) batch.Word(key);
    }
    parts_.client->Call(std::move(batch),
                        [done = std::move(done)](const Result<RedisReplies>& replies) {
                          if (!replies) {
                            done(Fail(Errc::kUnavailable, replies.error().what));
                          } else {
                            done(ReadWritten((*replies)[0]));
                          }
                        });
  }

  void Scan(const std::shared_ptr<Walk>& walk, std::string_view cursor) {
    RedisBatch batch;
    batch.Add("", {"SCAN", cursor, "MATCH", walk->engines ? "engine:*" : "[0-9]*", "COUNT", "1024",
                   "TYPE", walk->engines ? "zset" : "hash"});
    parts_.client->Call(std::move(batch), [this, walk](const Result<RedisReplies>& replies) {
      if (!replies) {
        walk->done(Fail(Errc::kUnavailable, replies.error().what));
        return;
      }
      if (auto status = CheckReplies(*replies); !status) {
        walk->done(Fail(status.error()));
        return;
      }
      OnScanned(walk, (*replies)[0]);
    });
  }

  void OnScanned(const std::shared_ptr<Walk>& walk, const RespValue& reply) {
    if (reply.size() != 2) {
      walk->done(Fail(Errc::kCorrupt, "SCAN does not give a cursor and keys"));
      return;
    }
    walk->cursor = reply[0].text();
    const RespValue names = reply[1];
    if (names.size() == 0) {
      OnPage(walk);
      return;
    }
    RedisBatch batch;
    RespValue name = names.first();
    batch.Eval(walk->engines ? LlmdPruneScript() : LlmdClearScript(), name.text(), names.size(),
               names.size() + 1);
    for (size_t i = 0; i < names.size(); ++i) {
      batch.Word(name.text());
      if (i + 1 < names.size()) name = name.next();
    }
    batch.Word(walk->head);
    parts_.client->Call(std::move(batch), [this, walk](const Result<RedisReplies>& replies) {
      if (!replies) {
        walk->done(Fail(Errc::kUnavailable, replies.error().what));
      } else if (auto status = CheckReplies(*replies); !status) {
        walk->done(Fail(status.error()));
      } else {
        OnPage(walk);
      }
    });
  }

  void OnPage(const std::shared_ptr<Walk>& walk) {
    if (walk->cursor == "0") {
      if (walk->engines) {
        Apply(*walk->run, 1, std::move(walk->done));
        return;
      }
      walk->engines = true;
    }
    Scan(walk, walk->cursor);
  }

  const WriterParts parts_;
};

}  // namespace

std::string EncodeOp(const WriteOp& op) {
  const std::string suffix = NativeSuffix(op.holder);
  HR_CHECK(suffix.size() <= UINT16_MAX);
  std::string bytes;
  bytes.reserve(11 + suffix.size() + 8 * (op.engine.size() + op.keys.size()));
  bytes.push_back(static_cast<char>(op.kind));
  AppendBigEndian(static_cast<uint16_t>(suffix.size()), &bytes);
  AppendBigEndian(static_cast<uint32_t>(op.engine.size()), &bytes);
  AppendBigEndian(static_cast<uint32_t>(op.keys.size()), &bytes);
  bytes += suffix;
  for (EngineKey key : op.engine) AppendBigEndian(key, &bytes);
  for (RequestKey key : op.keys) AppendBigEndian(key, &bytes);
  return bytes;
}

void AppendApply(const WriterParts& parts, const WriteRun& run, std::string_view life,
                 uint64_t sequence, RedisBatch* batch) {
  std::string ops;
  for (const WriteOp& op : run.ops) ops += EncodeOp(op);
  batch->Eval(ApplyScript(), parts.names->pods, 2, 10);
  batch->Word(parts.names->pods);
  batch->Word(parts.names->lives);
  batch->Word(parts.names->prefix);
  batch->Word(run.pod);
  batch->Word(parts.writer);
  batch->Word(sequence);
  batch->Word(life);
  batch->Word(static_cast<uint64_t>(parts.ttl / milliseconds(1)));
  batch->Word(static_cast<uint64_t>(parts.fresh / microseconds(1)));
  batch->Word(ops);
}

Result<Written> ReadWritten(const RespValue& value) {
  if (value.is_error()) {
    HR_WARN("redis: a write was refused: {}", value.text());
    return Fail(Errc::kIo, "Redis refused a write");
  }
  if (value.size() != 4) return Fail(Errc::kCorrupt, "a script gives something else");
  if (value[0].integer() < 0) {
    return Fail(Errc::kGone, "Redis does not know the pod any more");
  }
  return Written{std::string(value[1].text()), static_cast<uint64_t>(value[2].integer()),
                 static_cast<uint64_t>(value[3].integer())};
}

Status CheckReplies(const RedisReplies& replies) {
  const RespValue* error = replies.error();
  if (error == nullptr) return {};
  HR_WARN("redis: a command was refused: {}", error->text());
  return Fail(Errc::kIo, "Redis refused a command");
}

std::unique_ptr<RedisWriter> MakeScriptWriter(const WriterParts& parts) {
  HR_CHECK(parts.client != nullptr && parts.names != nullptr && parts.writer.size() == 8);
  return std::make_unique<ScriptWriter>(parts);
}

std::unique_ptr<RedisWriter> MakeLlmdWriter(const WriterParts& parts) {
  HR_CHECK(parts.client != nullptr);
  return std::make_unique<LlmdWriter>(parts);
}

}  // namespace headrace::indexer
