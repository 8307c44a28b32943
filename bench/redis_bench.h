// index.redis.add, index.redis.score and index.redis.evict: the index in a real redis-server on
// loopback, which is started for it. One thread.
#pragma once

namespace headrace::bench {

// Without a redis-server it says so on standard error and prints nothing.
void RunRedisBench();

}  // namespace headrace::bench
