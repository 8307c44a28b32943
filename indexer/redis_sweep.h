// Takes away what clears and removed pods left in Redis, and keeps what is held from running out
// where keys have a time to live. One server at a time does it, page by page. Loop-bound.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/loop.h"
#include "indexer/redis_schema.h"
#include "net/redis_client.h"

namespace headrace::indexer {

struct SweepOptions {
  Duration every = seconds(60);  // a pass over all keys begins; 0: never
  Duration ttl{0};               // given anew to what is held
  // An engine key that was written since then is kept although nobody holds its blocks: they may be
  // on their way to another node.
  Duration grace = seconds(60);
  uint32_t page_keys = 256;
};

class RedisSweep {
 public:
  // All outlive the sweep.
  RedisSweep(Loop* loop, net::RedisClient* client, const NativeNames* names, SweepOptions options);
  ~RedisSweep();
  RedisSweep(const RedisSweep&) = delete;
  RedisSweep& operator=(const RedisSweep&) = delete;

  uint64_t fields() const { return fields_; }  // taken away
  uint64_t keys() const { return keys_; }
  uint64_t passes() const { return passes_; }

 private:
  struct Engine {
    std::string name, value;
    size_t first = 0, past = 0;  // of the replies that tell whether its blocks are there
  };

  void Arm(Duration after);
  void Begin();
  void AskPods();
  void Scan();
  void OnPage(const net::RespValue& page);
  void ReadPage();
  void OnRead(const net::RedisReplies& replies);
  void TidyRequest(const std::string& name, const net::RespValue& fields, net::RedisBatch* batch);
  void AppendExpire(const std::string& name, net::RedisBatch* batch) const;
  void OnTidied(const net::RedisReplies& replies);
  void NextPage();
  // Calls `next` with replies that are no errors; else the pass is over.
  void Call(net::RedisBatch batch, void (RedisSweep::*next)(const net::RedisReplies&));
  void OnLock(const net::RedisReplies& replies);
  void OnPods(const net::RedisReplies& replies);
  void OnForgotten(const net::RedisReplies& replies);

  Loop* const loop_;
  net::RedisClient* const client_;
  const NativeNames* const names_;
  const SweepOptions options_;
  uint64_t timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  // Of the pass.
  std::unordered_set<PodLife> lives_;
  PodLife newest_ = 0;  // younger ones are not judged
  std::deque<net::RedisConnection*> nodes_;
  std::string cursor_;
  std::vector<std::string> requests_;
  std::vector<Engine> engines_;
  size_t deletions_ = 0;

  uint64_t fields_ = 0, keys_ = 0, passes_ = 0;
};

}  // namespace headrace::indexer
