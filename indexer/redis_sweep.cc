#include "indexer/redis_sweep.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "indexer/redis_scripts.h"
#include "indexer/redis_writer.h"

namespace headrace::indexer {

using net::RedisBatch;
using net::RedisReplies;
using net::RespValue;

RedisSweep::RedisSweep(Loop* loop, net::RedisClient* client, const NativeNames* names,
                       SweepOptions options)
    : loop_(loop), client_(client), names_(names), options_(options) {
  HR_CHECK(options_.page_keys > 0);
  if (options_.every > Duration(0)) Arm(options_.every);
}

RedisSweep::~RedisSweep() {
  *alive_ = false;
  loop_->CancelTimer(timer_);
}

void RedisSweep::Arm(Duration after) {
  timer_ = loop_->At(MonotonicNow() + after, [this] {
    timer_ = 0;
    Begin();
  });
}

void RedisSweep::Call(RedisBatch batch, void (RedisSweep::*next)(const RedisReplies&)) {
  client_->Call(std::move(batch),
                [this, alive = alive_, next](const Result<RedisReplies>& replies) {
                  if (!*alive) return;
                  if (!replies || !CheckReplies(*replies)) {
                    Arm(options_.every);
                    return;
                  }
                  (this->*next)(*replies);
                });
}

// Whoever gets the lock sweeps; it ends by itself when the next pass is due.
void RedisSweep::Begin() {
  RedisBatch batch;
  const std::string millis = std::to_string(std::max<int64_t>(1, options_.every / milliseconds(1)));
  batch.Add(names_->sweeper, {"SET", names_->sweeper, "1", "NX", "PX", millis});
  Call(std::move(batch), &RedisSweep::OnLock);
}

void RedisSweep::OnLock(const RedisReplies& replies) {
  if (replies[0].is_nil()) {
    Arm(options_.every);
    return;
  }
  RedisBatch batch;
  batch.Add(names_->lives, {"GET", names_->lives});
  batch.Add(names_->pods, {"HGETALL", names_->pods});
  AppendExpire(names_->lives, &batch);
  AppendExpire(names_->pods, &batch);
  Call(std::move(batch), &RedisSweep::OnPods);
}

void RedisSweep::OnPods(const RedisReplies& replies) {
  const std::string_view newest = replies[0].text();
  newest_ = 0;
  std::from_chars(newest.data(), newest.data() + newest.size(), newest_);
  lives_.clear();
  const RespValue& pairs = replies[1];
  if (pairs.size() > 0) {
    RespValue name = pairs.first();
    for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
      const RespValue record = name.next();
      if (auto life = LifeOfBytes(record.text())) lives_.insert(*life);
      if (i + 3 < pairs.size()) name = record.next();
    }
  }
  const auto owners = client_->nodes()->Owners();
  nodes_.assign(owners.begin(), owners.end());
  cursor_.assign(1, '0');
  Scan();
}

void RedisSweep::Scan() {
  HR_CHECK(!nodes_.empty());
  RedisBatch batch;
  std::string pattern = GlobQuoted(names_->prefix);
  pattern.push_back('*');
  const std::string count = std::to_string(options_.page_keys);
  batch.Add("", {"SCAN", cursor_, "MATCH", pattern, "COUNT", count});
  client_->CallNode(nodes_.front(), std::move(batch),
                    [this, alive = alive_](const Result<RedisReplies>& replies) {
                      if (!*alive) return;
                      if (!replies || !CheckReplies(*replies) || (*replies)[0].size() != 2) {
                        Arm(options_.every);
                        return;
                      }
                      OnPage((*replies)[0]);
                    });
}

void RedisSweep::OnPage(const RespValue& page) {
  cursor_ = page[0].text();
  requests_.clear();
  engines_.clear();
  const RespValue names = page[1];
  if (names.size() > 0) {
    RespValue name = names.first();
    for (size_t i = 0; i < names.size(); ++i) {
      if (names_->IsRequest(name.text())) requests_.emplace_back(name.text());
      if (names_->IsEngine(name.text())) engines_.push_back({std::string(name.text()), "", 0, 0});
      if (i + 1 < names.size()) name = name.next();
    }
  }
  ReadPage();
}

void RedisSweep::ReadPage() {
  RedisBatch batch;
  for (const std::string& name : requests_) batch.Add(name, {"HKEYS", name});
  for (const Engine& engine : engines_) batch.Add(engine.name, {"GET", engine.name});
  if (batch.empty()) {
    NextPage();
  } else {
    Call(std::move(batch), &RedisSweep::OnRead);
  }
}

void RedisSweep::AppendExpire(const std::string& name, RedisBatch* batch) const {
  if (options_.ttl <= Duration(0)) return;
  batch->Add(name, {"PEXPIRE", name, std::to_string(options_.ttl / milliseconds(1))});
}

// Lives that are over go; who is left keeps the key alive.
void RedisSweep::TidyRequest(const std::string& name, const RespValue& fields, RedisBatch* batch) {
  std::vector<std::string_view> over;
  RespValue field = fields.size() > 0 ? fields.first() : fields;
  for (size_t i = 0; i < fields.size(); ++i) {
    auto life = LifeOfBytes(field.text());
    if (life && *life <= newest_ && !lives_.contains(*life)) over.push_back(field.text());
    if (i + 1 < fields.size()) field = field.next();
  }
  if (!over.empty()) {
    batch->Command(name, 2 + over.size());
    batch->Word("HDEL");
    batch->Word(name);
    for (std::string_view word : over) batch->Word(word);
    fields_ += over.size();
  }
  if (over.size() < fields.size()) AppendExpire(name, batch);
}

void RedisSweep::OnRead(const RedisReplies& replies) {
  RedisBatch batch;
  for (size_t i = 0; i < requests_.size(); ++i) TidyRequest(requests_[i], replies[i], &batch);
  for (size_t i = 0; i < engines_.size(); ++i) {
    Engine& engine = engines_[i];
    engine.value = replies[requests_.size() + i].text();
    engine.first = batch.size();
    for (size_t at = kStampBytes; at + kKeyBytes <= engine.value.size(); at += kKeyBytes) {
      const uint64_t key = KeyOfBytes(std::string_view(engine.value).substr(at, kKeyBytes));
      const std::string name = names_->Request(key);
      batch.Add(name, {"EXISTS", name});
    }
    engine.past = batch.size();
  }
  if (batch.empty()) {
    NextPage();
  } else {
    Call(std::move(batch), &RedisSweep::OnTidied);
  }
}

void RedisSweep::OnTidied(const RedisReplies& replies) {
  RedisBatch batch;
  for (const Engine& engine : engines_) {
    if (engine.value.size() < kStampBytes) continue;  // gone meanwhile
    bool held = false;
    for (size_t i = engine.first; i < engine.past; ++i) held |= replies[i].integer() != 0;
    if (held) {
      AppendExpire(engine.name, &batch);
      continue;
    }
    batch.Eval(ForgetScript(), engine.name, 1, 3);
    batch.Word(engine.name);
    batch.Word(engine.value);
    batch.Word(static_cast<uint64_t>(options_.grace / microseconds(1)));
  }
  if (batch.empty()) {
    NextPage();
  } else {
    Call(std::move(batch), &RedisSweep::OnForgotten);
  }
}

void RedisSweep::OnForgotten(const RedisReplies& replies) {
  // PEXPIRE says 1 as well: only without a time to live are these the deleted alone.
  if (options_.ttl <= Duration(0)) {
    for (size_t i = 0; i < replies.size(); ++i) keys_ += replies[i].integer() != 0 ? 1 : 0;
  }
  NextPage();
}

void RedisSweep::NextPage() {
  if (cursor_ == "0") nodes_.pop_front();
  if (nodes_.empty()) {
    ++passes_;
    Arm(options_.every);
    return;
  }
  Scan();
}

}  // namespace headrace::indexer
