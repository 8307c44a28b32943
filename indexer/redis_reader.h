// Asks Redis who holds what. Keeps nothing that could be out of date: which pod has which life, and
// how pods count, is asked anew whenever their versions, which come with each answer, have changed.
// Loop-bound.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "indexer/redis_schema.h"
#include "indexer/remote_index.h"
#include "net/redis_client.h"

namespace headrace::indexer {

// Keys in a row that have the same holders.
struct HolderRun {
  std::vector<RemoteHolder> holders;
  uint32_t keys = 0;
};

class RedisReader {
 public:
  using RunsDone = std::function<void(Result<std::vector<HolderRun>>)>;

  // Both outlive the reader.
  RedisReader(net::RedisClient* client, const NativeNames* names, RedisSchema schema)
      : client_(client), names_(names), schema_(schema) {}
  RedisReader(const RedisReader&) = delete;
  RedisReader& operator=(const RedisReader&) = delete;

  // Up to the first key that nobody holds.
  void Holders(std::vector<RequestKey> keys, RunsDone done);
  // Behind that key too, in runs without holders, where some pod may have gaps. When `done` is
  // called rules() are those of the answer.
  void HoldersToScore(std::vector<RequestKey> keys, RunsDone done);
  const RemoteRulesByPod& rules() const { return rules_; }
  void Resolve(const std::vector<EngineKey>& engine, RemoteIndex::ResolveDone done);

  // Redis may be another: lives of the one before mean nothing.
  void Forget() {
    version_.clear();
    pods_.clear();
    rules_version_.clear();
    SetRules({});
  }

  uint64_t unreadable() const { return unreadable_; }

 private:
  // As it came: fields are not explained before the lives are known.
  struct RawRun {
    std::vector<std::string> fields;
    uint32_t keys = 0;
  };
  struct Question {
    std::vector<RequestKey> keys;
    bool to_score = false;
    bool gaps = false;  // goes on behind a key that nobody holds
    std::vector<RawRun> runs;
    std::string version;        // the last life's number; empty: there is none
    std::string rules_version;  // the same
    bool ended = false;         // an empty key was met
    RunsDone done;
  };
  using QuestionPtr = std::shared_ptr<Question>;

  void Ask(const QuestionPtr& question);
  void AppendScripts(const Question& question, net::RedisBatch* batch) const;
  void AppendCommands(const Question& question, net::RedisBatch* batch) const;
  void OnScripts(const QuestionPtr& question, const net::RedisReplies& replies);
  void OnCommands(const QuestionPtr& question, const net::RedisReplies& replies);
  static void AddFields(Question* question, const net::RespValue& fields, uint32_t keys);
  void Explain(const QuestionPtr& question);
  void AskPods(const QuestionPtr& question);
  void ReadPods(const net::RespValue& pairs);
  void ReadRules(const net::RespValue& pairs);
  void SetRules(RemoteRulesByPod rules);
  void Answer(const QuestionPtr& question);
  bool ReadField(const std::string& field, RemoteHolder* holder);
  std::string Name(RequestKey key) const {
    return schema_ == RedisSchema::kNative ? names_->Request(key) : LlmdRequest(key);
  }

  net::RedisClient* const client_;
  const NativeNames* const names_;
  const RedisSchema schema_;
  std::string version_;  // that pods_ belongs to
  std::unordered_map<PodLife, std::string> pods_;
  std::string rules_version_;
  RemoteRulesByPod rules_;
  bool gaps_count_ = false;  // some pod has no group that needs every block
  uint64_t unreadable_ = 0;
};

}  // namespace headrace::indexer
