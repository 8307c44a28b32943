#include "indexer/remote_open.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/log.h"
#include "indexer/redis_index.h"
#include "indexer/tiers.h"
#include "net/redis_url.h"

namespace headrace::indexer {
namespace {

constexpr size_t kMaxPasswordBytes = 4096;

// The first line of the file.
Result<std::string> ReadPassword(const std::string& path, std::string* why) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  if (!file) {
    *why = fmt::format("cannot read {}: {}", path, std::strerror(errno));
    return Fail(Errc::kInvalid, "the password cannot be read");
  }
  std::getline(file, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.empty() || line.size() > kMaxPasswordBytes) {
    *why = fmt::format("{}: its first line must be a password of at most {} bytes", path,
                       kMaxPasswordBytes);
    return Fail(Errc::kInvalid, "the password cannot be read");
  }
  return line;
}

Result<net::RedisUrl> UrlOf(const RedisConfig& config, std::string* why) {
  auto url = net::ParseRedisUrl(config.address);
  if (!url) {
    // The address may have a password in it: it is not repeated.
    *why = fmt::format("address: {}; write for example redis://10.0.0.1:6379", url.error().what);
    return Fail(url.error());
  }
  if (config.password_file.empty()) return url;
  if (!url->password.empty()) {
    *why = "passwordFile: the address has a password already; keep one";
    return Fail(Errc::kInvalid, "two passwords");
  }
  auto password = ReadPassword(config.password_file, why);
  if (!password) {
    *why = fmt::format("passwordFile: {}", *why);
    return Fail(password.error());
  }
  url->password = std::move(*password);
  return url;
}

}  // namespace

Result<std::shared_ptr<RemoteIndex>> OpenRemoteIndex(Loop* loop, const RedisConfig& config,
                                                     const std::vector<TierWeight>& weights,
                                                     std::string* message) {
  std::string why;
  auto url = UrlOf(config, &why);
  if (!url) {
    *message = fmt::format("{}.{}", config.section, why);
    return Fail(url.error());
  }
  RedisIndexOptions options;
  options.redis.url = std::move(*url);
  options.redis.tls.ca_file = config.ca_file;
  options.redis.tls.cert_file = config.cert_file;
  options.redis.tls.key_file = config.key_file;
  options.schema = config.llmd_schema ? RedisSchema::kLlmd : RedisSchema::kNative;
  options.prefix = config.prefix;
  for (const TierWeight& tier : weights) options.tiers.Set(tier.name, tier.weight);
  options.sweep.ttl = config.ttl;
  // What is held is renewed several times before it would run out.
  if (config.ttl > Duration{}) {
    options.sweep.every = std::min(options.sweep.every, config.ttl / 4);
    options.check = std::min(options.check, config.ttl / 4);
  }
  const std::string shown = options.redis.url.Shown();
  auto index = CreateRedisIndex(loop, std::move(options), &why);
  if (!index) {
    *message = fmt::format("{}: {}", config.section, why);
    return Fail(index.error());
  }
  HR_INFO("index: shared through {}", shown);
  return std::shared_ptr<RemoteIndex>(std::move(*index));
}

}  // namespace headrace::indexer
