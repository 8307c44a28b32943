// In the place of redis_bench.cc where the feature `redis` is left out.
#include "bench/redis_bench.h"
#include "bench/report.h"

namespace headrace::bench {

void RunRedisBench() {
  Progress("index.redis: this build has no Redis (feature redis)");
}

}  // namespace headrace::bench
