// Keeps in Redis what this server says of how pods count (RemoteRules): written when it changes,
// and again when Redis was away or does not have it any more. Loop-bound.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "indexer/redis_schema.h"
#include "net/redis_client.h"

namespace headrace::indexer {

class RedisRules {
 public:
  // Both outlive it. `ttl` 0: what is there stays.
  RedisRules(net::RedisClient* client, const NativeNames* names, Duration ttl)
      : client_(client), names_(names), ttl_(ttl) {}
  RedisRules(const RedisRules&) = delete;
  RedisRules& operator=(const RedisRules&) = delete;

  // Empty rules: nothing is said of the pod any more, also by an earlier life of this server.
  void Say(std::string_view pod, const RemoteRules& rules);
  // Redis is there; whether it is the one that knew is not asked.
  void OnUp();
  // Every now and then: looks whether everything is there, and renews its time to live.
  void Check();

 private:
  void Write();
  void OnWritten(const std::vector<std::string>& pods);
  void OnChecked(const std::vector<std::string>& pods, const net::RespValue& there);

  net::RedisClient* const client_;
  const NativeNames* const names_;
  const Duration ttl_;
  std::map<std::string, std::string, std::less<>> said_;  // by pod; empty: to be taken away
  std::set<std::string> due_;                             // to be written
  bool writing_ = false;
};

}  // namespace headrace::indexer
