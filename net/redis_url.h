// Where a Redis is, as people write it. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/address.h"

namespace headrace::net {

inline constexpr uint16_t kRedisPort = 6379;

struct RedisUrl {
  bool tls = false;
  std::vector<HostPort> hosts;  // the first that answers; of a Cluster it names the others
  std::string path;             // of a Unix socket; then there are no hosts
  std::string user, password;
  uint32_t database = 0;

  // For logs: without the password.
  std::string Shown() const;
};

// redis://, rediss://, valkey://, valkeys:// with [user[:password]@]host[:port][,host[:port]]...
// [/database], and unix://[user[:password]@]/path[?db=database]. Without a scheme it is redis://.
// A password alone is written :password@. User and password may be percent-encoded.
Result<RedisUrl> ParseRedisUrl(std::string_view text);

}  // namespace headrace::net
