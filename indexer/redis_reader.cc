#include "indexer/redis_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "indexer/redis_scripts.h"
#include "indexer/redis_writer.h"

namespace headrace::indexer {
namespace {

using net::RedisBatch;
using net::RedisReplies;
using net::RespValue;

// Redis serves nobody else while a script runs.
constexpr size_t kKeysPerScript = 512;

bool SameFields(const std::vector<std::string>& fields, const RespValue& value) {
  if (fields.size() != value.size()) return false;
  if (fields.empty()) return true;
  RespValue field = value.first();
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i] != field.text()) return false;
    if (i + 1 < fields.size()) field = field.next();
  }
  return true;
}

// What an engine key names: bytes after a stamp, or llm-d's list of decimal numbers.
std::vector<RequestKey> NamedBy(const RespValue& value) {
  std::vector<RequestKey> found;
  const std::string_view bytes = value.text();
  for (size_t at = kStampBytes; at + kKeyBytes <= bytes.size(); at += kKeyBytes) {
    found.push_back(KeyOfBytes(bytes.substr(at, kKeyBytes)));
  }
  for (size_t k = 0; k < value.size(); ++k) {
    const std::string_view member = value[k].text();
    RequestKey key = 0;
    auto [end, error] = std::from_chars(member.data(), member.data() + member.size(), key);
    if (error == std::errc()) found.push_back(key);
  }
  return found;
}

}  // namespace

void RedisReader::AppendScripts(const std::vector<RequestKey>& keys, RedisBatch* batch) const {
  const size_t lives = schema_ == RedisSchema::kNative ? 1 : 0;
  for (size_t at = 0; at < keys.size(); at += kKeysPerScript) {
    const size_t count = std::min(kKeysPerScript, keys.size() - at);
    batch->Eval(HoldersScript(), Name(keys[at]), lives + count, lives + count + 1);
    if (lives != 0) batch->Word(names_->lives);
    for (size_t i = 0; i < count; ++i) batch->Word(Name(keys[at + i]));
    batch->Word(uint64_t{lives});
  }
}

void RedisReader::AppendCommands(const std::vector<RequestKey>& keys, RedisBatch* batch) const {
  batch->Add(names_->lives, {"GET", names_->lives});
  for (RequestKey key : keys) {
    const std::string name = Name(key);
    batch->Add(name, {"HKEYS", name});
  }
}

void RedisReader::Holders(const std::vector<RequestKey>& keys, RunsDone done) {
  HR_CHECK(!keys.empty() && done != nullptr);
  auto question = std::make_shared<Question>();
  question->done = std::move(done);
  RedisBatch batch;
  const bool scripts = !client_->cluster();
  if (scripts) {
    AppendScripts(keys, &batch);
  } else {
    AppendCommands(keys, &batch);
  }
  client_->Call(std::move(batch), [this, question, scripts](const Result<RedisReplies>& replies) {
    if (!replies) {
      question->done(Fail(Errc::kUnavailable, replies.error().what));
    } else if (auto status = CheckReplies(*replies); !status) {
      question->done(Fail(status.error()));
    } else if (scripts) {
      OnScripts(question, *replies);
    } else {
      OnCommands(question, *replies);
    }
  });
}

void RedisReader::AddFields(Question* question, const RespValue& fields, uint32_t keys) {
  if (!question->runs.empty() && SameFields(question->runs.back().fields, fields)) {
    question->runs.back().keys += keys;
    return;
  }
  RawRun run{{}, keys};
  run.fields.reserve(fields.size());
  RespValue field = fields.first();
  for (size_t i = 0; i < fields.size(); ++i) {
    run.fields.emplace_back(field.text());
    if (i + 1 < fields.size()) field = field.next();
  }
  question->runs.push_back(std::move(run));
}

// Each script: {lives, fields, times, fields, times, ...}.
void RedisReader::OnScripts(const QuestionPtr& question, const RedisReplies& replies) {
  question->version = replies[0].first().text();
  for (size_t i = 0; i < replies.size() && !question->ended; ++i) {
    RespValue value = replies[i].first();
    uint64_t keys = 0;
    for (size_t at = 1; at + 1 < replies[i].size(); at += 2) {
      const RespValue fields = value.next();
      const RespValue times = fields.next();
      if (fields.size() == 0 || times.integer() <= 0) break;
      AddFields(question.get(), fields, static_cast<uint32_t>(times.integer()));
      keys += static_cast<uint64_t>(times.integer());
      value = times;
    }
    question->ended = keys < kKeysPerScript;  // or it was the last
  }
  Explain(question);
}

void RedisReader::OnCommands(const QuestionPtr& question, const RedisReplies& replies) {
  question->version = replies[0].text();
  for (size_t i = 1; i < replies.size() && replies[i].size() > 0; ++i) {
    AddFields(question.get(), replies[i], 1);
  }
  Explain(question);
}

void RedisReader::Explain(const QuestionPtr& question) {
  const bool pods_known =
      schema_ != RedisSchema::kNative || question->version == version_ || question->runs.empty();
  if (pods_known) {
    Answer(question);
  } else {
    AskPods(question);
  }
}

void RedisReader::AskPods(const QuestionPtr& question) {
  RedisBatch batch;
  // In this order: pods that come between the two make the version too low, and are asked again.
  batch.Add(names_->lives, {"GET", names_->lives});
  batch.Add(names_->pods, {"HGETALL", names_->pods});
  client_->Call(std::move(batch), [this, question](const Result<RedisReplies>& replies) {
    if (!replies) {
      question->done(Fail(Errc::kUnavailable, replies.error().what));
      return;
    }
    if (auto status = CheckReplies(*replies); !status) {
      question->done(Fail(status.error()));
      return;
    }
    version_ = (*replies)[0].text();
    pods_.clear();
    const RespValue pairs = (*replies)[1];
    if (pairs.size() > 0) {
      RespValue name = pairs.first();
      for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
        const RespValue record = name.next();
        if (auto life = LifeOfBytes(record.text())) {
          pods_[*life] = name.text();
        } else {
          ++unreadable_;
        }
        if (i + 3 < pairs.size()) name = record.next();
      }
    }
    Answer(question);
  });
}

// False: nobody's, of a life that is over or unreadable.
bool RedisReader::ReadField(const std::string& field, RemoteHolder* holder) {
  if (schema_ == RedisSchema::kLlmd) {
    auto parsed = ParseLlmdField(field);
    if (!parsed) {
      ++unreadable_;
      return false;
    }
    *holder = std::move(*parsed);
    return true;
  }
  PodLife life = 0;
  if (!ParseNativeField(field, &life, holder)) {
    ++unreadable_;
    return false;
  }
  auto pod = pods_.find(life);
  if (pod == pods_.end()) return false;
  holder->pod = pod->second;
  return true;
}

void RedisReader::Answer(const QuestionPtr& question) {
  std::vector<HolderRun> runs;
  for (const RawRun& raw : question->runs) {
    HolderRun run;
    run.keys = raw.keys;
    for (const std::string& field : raw.fields) {
      RemoteHolder holder;
      if (ReadField(field, &holder)) run.holders.push_back(std::move(holder));
    }
    if (run.holders.empty()) break;  // only lives that are over
    runs.push_back(std::move(run));
  }
  question->done(std::move(runs));
}

void RedisReader::Resolve(const std::vector<EngineKey>& engine, RemoteIndex::ResolveDone done) {
  HR_CHECK(!engine.empty() && done != nullptr);
  RedisBatch batch;
  const bool native = schema_ == RedisSchema::kNative;
  for (EngineKey key : engine) {
    const std::string name = native ? names_->Engine(key) : LlmdEngine(key);
    if (native) {
      batch.Add(name, {"GET", name});
    } else {
      batch.Add(name, {"ZRANGE", name, "0", "-1"});
    }
  }
  client_->Call(std::move(batch), [done = std::move(done)](const Result<RedisReplies>& replies) {
    if (!replies) {
      done(Fail(Errc::kUnavailable, replies.error().what));
      return;
    }
    if (auto status = CheckReplies(*replies); !status) {
      done(Fail(status.error()));
      return;
    }
    std::vector<std::vector<RequestKey>> found(replies->size());
    for (size_t i = 0; i < found.size(); ++i) {
      found[i] = NamedBy((*replies)[i]);
    }
    done(std::move(found));
  });
}

}  // namespace headrace::indexer
