// A Cluster runs no script over keys of different slots, so that a run goes in phases: adds take
// one, what names engine keys two (what they name, then those keys). All of a phase goes to all
// nodes at once. Nothing is said twice: a phase that broke loses the stream.
#include <algorithm>
#include <utility>

#include "indexer/redis_writer.h"

namespace headrace::indexer {
namespace {

using net::RedisBatch;
using net::RedisReplies;

bool ByEngine(WriteKind kind) {
  return kind == WriteKind::kRemove || kind == WriteKind::kAddKnown;
}

class ClusterWriter final : public RedisWriter {
 public:
  explicit ClusterWriter(WriterParts parts) : parts_(std::move(parts)) {}

  void Write(std::shared_ptr<const WriteRun> run, Done done) override {
    HR_CHECK(!run->ops.empty());
    auto work = std::make_shared<Work>();
    work->run = std::move(run);
    work->written.life = work->run->life;
    work->done = std::move(done);
    Step(work);
  }

 private:
  struct Key {
    uint64_t key;
    size_t op;  // whose holder
  };
  struct Work {
    std::shared_ptr<const WriteRun> run;
    Written written;
    Done done;
    size_t at = 0, past = 0;  // operations of one kind, this phase's
    bool begun = false;       // something may have been written
    std::vector<Key> keys;    // that engine keys named

    const WriteOp& op(size_t index) const { return run->ops[index]; }
    WriteKind kind() const { return op(at).kind; }
  };
  using WorkPtr = std::shared_ptr<Work>;
  using Phase = void (ClusterWriter::*)(const WorkPtr&, const RedisReplies&);

  void Step(const WorkPtr& work);
  void Send(const WorkPtr& work, RedisBatch batch, Phase next);
  void SendPods(const WorkPtr& work, bool with_op);
  void OnPods(const WorkPtr& work, const RedisReplies& replies);
  void SendNames(const WorkPtr& work);
  void OnNames(const WorkPtr& work, const RedisReplies& replies);
  void SendKeys(const WorkPtr& work);
  void OnKeys(const WorkPtr& work, const RedisReplies& replies);
  void AppendCheck(const WorkPtr& work, RedisBatch* batch);
  void AppendJoins(const WriteOp& op, RedisBatch* batch) const;
  void AppendPut(const std::string& name, const std::string& field, RedisBatch* batch) const;
  std::string TtlMillis() const { return std::to_string(parts_.ttl / milliseconds(1)); }

  const WriterParts parts_;
  uint64_t sequence_ = 0;
};

void ClusterWriter::Step(const WorkPtr& work) {
  work->at = work->past;
  if (work->at == work->run->ops.size()) {
    work->done(work->written);
    return;
  }
  work->keys.clear();
  if (work->kind() == WriteKind::kClear || work->kind() == WriteKind::kDrop) {
    HR_CHECK(work->at == 0);
    work->past = 1;
    SendPods(work, true);
  } else if (work->written.life.empty()) {
    SendPods(work, false);  // then the same again, with a life
  } else {
    while (work->past < work->run->ops.size() && work->op(work->past).kind == work->kind()) {
      ++work->past;
    }
    if (ByEngine(work->kind())) {
      SendNames(work);
    } else {
      SendKeys(work);
    }
  }
}

void ClusterWriter::Send(const WorkPtr& work, RedisBatch batch, Phase next) {
  parts_.client->Call(std::move(batch), [this, work, next](const Result<RedisReplies>& replies) {
    if (!replies) {
      const bool untouched = replies.error().code == Errc::kUnavailable && !work->begun;
      work->done(Fail(untouched ? Errc::kUnavailable : Errc::kGone, replies.error().what));
    } else if (auto status = CheckReplies(*replies); !status) {
      work->done(Fail(status.error()));
    } else {
      work->begun |= next != &ClusterWriter::OnNames;
      (this->*next)(work, *replies);
    }
  });
}

// The table of pods: a new life, none, or the one there is.
void ClusterWriter::SendPods(const WorkPtr& work, bool with_op) {
  WriteRun run;
  run.pod = work->run->pod;
  if (with_op) run.ops.push_back(work->op(work->at));
  RedisBatch batch;
  AppendApply(parts_, run, "", ++sequence_, &batch);
  Send(work, std::move(batch), &ClusterWriter::OnPods);
}

void ClusterWriter::OnPods(const WorkPtr& work, const RedisReplies& replies) {
  auto written = ReadWritten(replies[0]);
  if (!written) {
    work->done(Fail(written.error()));
    return;
  }
  work->written.life = written->life;
  Step(work);
}

// Is the life still the pod's? Goes with what is written under it.
void ClusterWriter::AppendCheck(const WorkPtr& work, RedisBatch* batch) {
  WriteRun run;
  run.pod = work->run->pod;
  AppendApply(parts_, run, work->written.life, ++sequence_, batch);
}

void ClusterWriter::SendNames(const WorkPtr& work) {
  RedisBatch batch;
  for (size_t i = work->at; i < work->past; ++i) {
    for (EngineKey key : work->op(i).engine) {
      const std::string name = parts_.names->Engine(key);
      batch.Add(name, {"GET", name});
    }
  }
  if (batch.empty()) {
    Step(work);
  } else {
    Send(work, std::move(batch), &ClusterWriter::OnNames);
  }
}

void ClusterWriter::OnNames(const WorkPtr& work, const RedisReplies& replies) {
  size_t reply = 0;
  for (size_t i = work->at; i < work->past; ++i) {
    for (size_t k = 0; k < work->op(i).engine.size(); ++k) {
      const std::string_view value = replies[reply++].text();
      for (size_t at = kStampBytes; at + kKeyBytes <= value.size(); at += kKeyBytes) {
        work->keys.push_back({KeyOfBytes(value.substr(at, kKeyBytes)), i});
      }
    }
  }
  if (work->keys.empty()) {
    Step(work);
  } else {
    SendKeys(work);
  }
}

void ClusterWriter::AppendPut(const std::string& name, const std::string& field,
                              RedisBatch* batch) const {
  batch->Add(name, {"HINCRBY", name, field, "1"});
  if (parts_.ttl > Duration(0)) batch->Add(name, {"PEXPIRE", name, TtlMillis()});
}

void ClusterWriter::AppendJoins(const WriteOp& op, RedisBatch* batch) const {
  const size_t most = std::max(op.engine.size(), op.keys.size());
  size_t k = 0;
  for (size_t i = 0; i < op.engine.size(); ++i) {
    std::string list, last;
    for (; k < most && k * op.engine.size() / most == i; ++k) {
      std::string key = KeyBytes(op.keys[k * op.keys.size() / most]);
      if (key != last) list += key;
      last = std::move(key);
    }
    const std::string name = parts_.names->Engine(op.engine[i]);
    batch->Eval(JoinScript(), name, 1, 4);
    batch->Word(name);
    batch->Word(list);
    batch->Word(TtlMillis());
    batch->Word(static_cast<uint64_t>(parts_.fresh / microseconds(1)));
  }
}

void ClusterWriter::SendKeys(const WorkPtr& work) {
  RedisBatch batch;
  AppendCheck(work, &batch);
  const WriteKind kind = work->kind();
  if (!ByEngine(kind)) {
    for (size_t i = work->at; i < work->past; ++i) {
      for (RequestKey key : work->op(i).keys) work->keys.push_back({key, i});
    }
  }
  const bool puts = kind == WriteKind::kAdd || kind == WriteKind::kAddKnown;
  for (const Key& key : work->keys) {
    const std::string name = parts_.names->Request(key.key);
    const std::string field = work->written.life + NativeSuffix(work->op(key.op).holder);
    if (puts) {
      AppendPut(name, field, &batch);
    } else {
      batch.Eval(TakeScript(), name, 1, 2);
      batch.Word(name);
      batch.Word(field);
    }
  }
  if (kind == WriteKind::kAdd) {
    for (size_t i = work->at; i < work->past; ++i) AppendJoins(work->op(i), &batch);
  }
  Send(work, std::move(batch), &ClusterWriter::OnKeys);
}

void ClusterWriter::OnKeys(const WorkPtr& work, const RedisReplies& replies) {
  auto checked = ReadWritten(replies[0]);
  if (!checked) {
    work->done(Fail(checked.error()));
    return;
  }
  if (checked->life != work->written.life) {
    work->done(Fail(Errc::kGone, "another server began a new life of the pod"));
    return;
  }
  if (work->kind() == WriteKind::kAdd || work->kind() == WriteKind::kAddKnown) {
    work->written.added += work->keys.size();
  } else {
    for (size_t i = 1; i < replies.size(); ++i) {
      work->written.removed += static_cast<uint64_t>(replies[i].integer());
    }
  }
  Step(work);
}

}  // namespace

std::unique_ptr<RedisWriter> MakeClusterWriter(const WriterParts& parts) {
  HR_CHECK(parts.client != nullptr && parts.names != nullptr && parts.writer.size() == 8);
  return std::make_unique<ClusterWriter>(parts);
}

}  // namespace headrace::indexer
