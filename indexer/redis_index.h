// The remote index in Redis or Valkey, one server or a Cluster. docs/redis.md draws what lies
// there.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "indexer/redis_schema.h"
#include "indexer/redis_streams.h"
#include "indexer/redis_sweep.h"
#include "indexer/remote_index.h"
#include "indexer/tiers.h"
#include "net/redis_connection.h"

namespace headrace::indexer {

struct RedisIndexOptions {
  net::RedisOptions redis;
  RedisSchema schema = RedisSchema::kNative;
  std::string prefix = "hr:";  // native: of every key; fleets that share a Redis differ in it
  TierTable tiers;             // and their weights
  StreamLimits limits;
  // Native. With `ttl` an index whose servers are all gone vanishes; it is to be well above
  // `every`.
  SweepOptions sweep;
  // Native. How often Redis is asked whether it still knows our pods, should they have nothing to
  // say, and how they count; 0: never.
  Duration check = seconds(10);
  uint64_t writer = 0;  // a number that no other process has, drawn at random; 0: drawn here
};

// Begins to connect; on failure `*message` says what is wrong with the options. kUnsupported in a
// build without the feature `redis`. The loop outlives the index.
Result<std::unique_ptr<RemoteIndex>> CreateRedisIndex(Loop* loop, RedisIndexOptions options,
                                                      std::string* message);

}  // namespace headrace::indexer
