// A build without the feature `redis`.
#include "indexer/redis_index.h"
#include "indexer/remote_open.h"

namespace headrace::indexer {

Result<std::unique_ptr<RemoteIndex>> CreateRedisIndex(Loop* loop, RedisIndexOptions options,
                                                      std::string* message) {
  static_cast<void>(loop);
  static_cast<void>(options);
  *message = "this build has no Redis: it was configured without OpenSSL (feature redis)";
  return Fail(Errc::kUnsupported, "built without the feature redis");
}

Result<std::shared_ptr<RemoteIndex>> OpenRemoteIndex(Loop* loop, const RedisConfig& config,
                                                     const std::vector<TierWeight>& weights,
                                                     std::string* message) {
  static_cast<void>(loop);
  static_cast<void>(weights);
  *message = config.section +
             ": this build has no Redis: it was configured without OpenSSL (feature redis)";
  return Fail(Errc::kUnsupported, "built without the feature redis");
}

}  // namespace headrace::indexer
