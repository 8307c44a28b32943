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

// Of a HASH that was read whole.
template <typename Visit>
void ForEachPair(const RespValue& pairs, const Visit& visit) {
  if (pairs.size() == 0) return;
  RespValue name = pairs.first();
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const RespValue value = name.next();
    visit(name.text(), value.text());
    if (i + 3 < pairs.size()) name = value.next();
  }
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

void RedisReader::AppendScripts(const Question& question, RedisBatch* batch) const {
  const std::vector<RequestKey>& keys = question.keys;
  const size_t versions = schema_ == RedisSchema::kNative ? 2 : 0;
  for (size_t at = 0; at < keys.size(); at += kKeysPerScript) {
    const size_t count = std::min(kKeysPerScript, keys.size() - at);
    batch->Eval(HoldersScript(), Name(keys[at]), versions + count, versions + count + 2);
    if (versions != 0) {
      batch->Word(names_->lives);
      batch->Word(names_->rules_version);
    }
    for (size_t i = 0; i < count; ++i) batch->Word(Name(keys[at + i]));
    batch->Word(uint64_t{versions});
    batch->Word(question.gaps ? "1" : "0");
  }
}

void RedisReader::AppendCommands(const Question& question, RedisBatch* batch) const {
  batch->Add(names_->lives, {"GET", names_->lives});
  batch->Add(names_->rules_version, {"GET", names_->rules_version});
  for (RequestKey key : question.keys) {
    const std::string name = Name(key);
    batch->Add(name, {"HKEYS", name});
  }
}

void RedisReader::Holders(std::vector<RequestKey> keys, RunsDone done) {
  auto question = std::make_shared<Question>();
  question->keys = std::move(keys);
  question->done = std::move(done);
  Ask(question);
}

void RedisReader::HoldersToScore(std::vector<RequestKey> keys, RunsDone done) {
  auto question = std::make_shared<Question>();
  question->keys = std::move(keys);
  question->to_score = true;
  question->gaps = gaps_count_;
  question->done = std::move(done);
  Ask(question);
}

void RedisReader::Ask(const QuestionPtr& question) {
  HR_CHECK(!question->keys.empty() && question->done != nullptr);
  RedisBatch batch;
  const bool scripts = !client_->cluster();
  if (scripts) {
    AppendScripts(*question, &batch);
  } else {
    AppendCommands(*question, &batch);
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
  if (fields.size() > 0) {
    RespValue field = fields.first();
    for (size_t i = 0; i < fields.size(); ++i) {
      run.fields.emplace_back(field.text());
      if (i + 1 < fields.size()) field = field.next();
    }
  }
  question->runs.push_back(std::move(run));
}

// Each script: {lives, version of the rules, fields, times, fields, times, ...}.
void RedisReader::OnScripts(const QuestionPtr& question, const RedisReplies& replies) {
  question->version = replies[0][0].text();
  question->rules_version = replies[0][1].text();
  for (size_t i = 0; i < replies.size() && !question->ended; ++i) {
    RespValue value = replies[i][1];
    uint64_t keys = 0;
    for (size_t at = 2; at + 1 < replies[i].size(); at += 2) {
      const RespValue fields = value.next();
      const RespValue times = fields.next();
      if ((fields.size() == 0 && !question->gaps) || times.integer() <= 0) break;
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
  question->rules_version = replies[1].text();
  for (size_t i = 2; i < replies.size(); ++i) {
    if (replies[i].size() == 0 && !question->gaps) break;
    AddFields(question.get(), replies[i], 1);
  }
  Explain(question);
}

void RedisReader::Explain(const QuestionPtr& question) {
  const bool rules_known = question->rules_version == rules_version_;
  const bool pods_known = question->version == version_ || question->runs.empty();
  if (schema_ != RedisSchema::kNative || (pods_known && rules_known)) {
    Answer(question);
  } else {
    AskPods(question);
  }
}

void RedisReader::AskPods(const QuestionPtr& question) {
  RedisBatch batch;
  // In this order: what comes between the two makes the version too low, and is asked again.
  batch.Add(names_->lives, {"GET", names_->lives});
  batch.Add(names_->pods, {"HGETALL", names_->pods});
  batch.Add(names_->rules_version, {"GET", names_->rules_version});
  batch.Add(names_->rules, {"HGETALL", names_->rules});
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
    ReadPods((*replies)[1]);
    rules_version_ = (*replies)[2].text();
    ReadRules((*replies)[3]);
    Answer(question);
  });
}

void RedisReader::ReadPods(const RespValue& pairs) {
  pods_.clear();
  ForEachPair(pairs, [this](std::string_view name, std::string_view record) {
    if (auto life = LifeOfBytes(record)) {
      pods_[*life] = name;
    } else {
      ++unreadable_;
    }
  });
}

void RedisReader::ReadRules(const RespValue& pairs) {
  RemoteRulesByPod rules;
  ForEachPair(pairs, [&](std::string_view name, std::string_view bytes) {
    if (auto read = RulesOfBytes(bytes)) {
      rules.emplace(name, std::move(*read));
    } else {
      ++unreadable_;
    }
  });
  SetRules(std::move(rules));
}

void RedisReader::SetRules(RemoteRulesByPod rules) {
  rules_ = std::move(rules);
  gaps_count_ = std::any_of(rules_.begin(), rules_.end(), [](const auto& entry) {
    const std::vector<GroupSpec>& groups = entry.second.groups;
    return !groups.empty() && std::none_of(groups.begin(), groups.end(), [](const GroupSpec& spec) {
      return spec.rule == GroupRule::kFull;
    });
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
  if (question->to_score && gaps_count_ && !question->gaps) {  // as it turns out
    HoldersToScore(std::move(question->keys), std::move(question->done));
    return;
  }
  std::vector<HolderRun> runs;
  for (const RawRun& raw : question->runs) {
    HolderRun run;
    run.keys = raw.keys;
    for (const std::string& field : raw.fields) {
      RemoteHolder holder;
      if (ReadField(field, &holder)) run.holders.push_back(std::move(holder));
    }
    if (run.holders.empty() && !question->gaps) break;  // only lives that are over
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
