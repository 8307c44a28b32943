// A build without the feature `redis`.
#include "indexer/redis_index.h"

namespace headrace::indexer {

Result<std::unique_ptr<RemoteIndex>> CreateRedisIndex(Loop* loop, RedisIndexOptions options,
                                                      std::string* message) {
  static_cast<void>(loop);
  static_cast<void>(options);
  *message = "this build has no Redis: it was configured without OpenSSL (feature redis)";
  return Fail(Errc::kUnsupported, "built without the feature redis");
}

}  // namespace headrace::indexer
