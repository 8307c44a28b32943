#include "indexer/redis_rules.h"

#include <memory>
#include <utility>
#include <vector>

#include "indexer/redis_scripts.h"
#include "indexer/redis_writer.h"

namespace headrace::indexer {
namespace {

constexpr size_t kPodsPerScript = 256;  // Redis serves nobody else while a script runs

}  // namespace

void RedisRules::Say(std::string_view pod, const RemoteRules& rules) {
  const std::string bytes = rules.empty() ? "" : RulesBytes(rules);
  const auto known = said_.find(pod);
  if (known != said_.end() && known->second == bytes) return;
  said_.insert_or_assign(std::string(pod), bytes);
  due_.emplace(pod);
  Write();
}

void RedisRules::OnUp() {
  for (const auto& [pod, bytes] : said_) due_.insert(pod);
  Write();
}

void RedisRules::Write() {
  if (writing_ || due_.empty() || !client_->up()) return;
  auto pods = std::make_shared<std::vector<std::string>>();
  while (!due_.empty() && pods->size() < kPodsPerScript) {
    pods->push_back(std::move(due_.extract(due_.begin()).value()));
  }
  net::RedisBatch batch;
  batch.Eval(RulesScript(), names_->rules, 2, 3 + 2 * pods->size());
  batch.Word(names_->rules);
  batch.Word(names_->rules_version);
  batch.Word(std::to_string(ttl_ / milliseconds(1)));
  for (const std::string& pod : *pods) {
    batch.Word(pod);
    batch.Word(said_.at(pod));
  }
  writing_ = true;
  client_->Call(std::move(batch), [this, pods](const Result<net::RedisReplies>& replies) {
    writing_ = false;
    if (replies && CheckReplies(*replies)) {
      OnWritten(*pods);
    } else {
      due_.insert(pods->begin(), pods->end());  // with the next Check or OnUp
    }
  });
}

void RedisRules::OnWritten(const std::vector<std::string>& pods) {
  for (const std::string& pod : pods) {
    const auto said = said_.find(pod);
    if (said->second.empty() && !due_.contains(pod)) said_.erase(said);
  }
  Write();
}

void RedisRules::Check() {
  if (said_.empty() || !client_->up()) return;
  auto pods = std::make_shared<std::vector<std::string>>();
  for (const auto& [pod, bytes] : said_) pods->push_back(pod);
  net::RedisBatch batch;
  batch.Command(names_->rules, 2 + pods->size());
  batch.Word("HMGET");
  batch.Word(names_->rules);
  for (const std::string& pod : *pods) batch.Word(pod);
  const auto ttl = std::to_string(ttl_ / milliseconds(1));
  for (const std::string* const name : {&names_->rules, &names_->rules_version}) {
    if (ttl_ > Duration(0)) batch.Add(*name, {"PEXPIRE", *name, ttl});
  }
  client_->Call(std::move(batch), [this, pods](const Result<net::RedisReplies>& replies) {
    if (!replies || !CheckReplies(*replies) || (*replies)[0].size() != pods->size()) return;
    OnChecked(*pods, (*replies)[0]);
  });
}

void RedisRules::OnChecked(const std::vector<std::string>& pods, const net::RespValue& there) {
  net::RespValue bytes = there.first();
  for (size_t i = 0; i < pods.size(); ++i) {
    const auto said = said_.find(pods[i]);
    if (said != said_.end() && said->second != bytes.text()) due_.insert(pods[i]);
    if (i + 1 < pods.size()) bytes = bytes.next();
  }
  Write();
}

}  // namespace headrace::indexer
