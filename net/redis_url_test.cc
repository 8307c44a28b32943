#include "net/redis_url.h"

#include <gtest/gtest.h>

namespace headrace::net {
namespace {

TEST(RedisUrl, ReadsHostPortAndDatabase) {
  auto url = ParseRedisUrl("redis://cache.example:7000/3");
  ASSERT_TRUE(url.has_value());
  EXPECT_FALSE(url->tls);
  ASSERT_EQ(url->hosts.size(), 1u);
  EXPECT_EQ(url->hosts[0].host, "cache.example");
  EXPECT_EQ(url->hosts[0].port, 7000);
  EXPECT_EQ(url->database, 3u);
}

TEST(RedisUrl, KnowsBothNamesWithAndWithoutTls) {
  EXPECT_FALSE(ParseRedisUrl("valkey://a")->tls);
  EXPECT_TRUE(ParseRedisUrl("valkeys://a")->tls);
  EXPECT_TRUE(ParseRedisUrl("rediss://a")->tls);
  EXPECT_EQ(ParseRedisUrl("127.0.0.1")->hosts[0].port, kRedisPort);
  EXPECT_EQ(ParseRedisUrl("localhost:6400")->hosts[0].port, 6400);
}

TEST(RedisUrl, ReadsUserAndPassword) {
  auto both = ParseRedisUrl("redis://me:s%40cret%2F@h:1/0");
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->user, "me");
  EXPECT_EQ(both->password, "s@cret/");
  auto alone = ParseRedisUrl("redis://:p@ss@h");
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->user, "");
  EXPECT_EQ(alone->password, "p@ss");
  EXPECT_EQ(alone->hosts[0].host, "h");
}

TEST(RedisUrl, ReadsSeveralHostsAndBrackets) {
  auto url = ParseRedisUrl("redis://[::1]:7001,b,[fe80::1]");
  ASSERT_TRUE(url.has_value());
  ASSERT_EQ(url->hosts.size(), 3u);
  EXPECT_EQ(url->hosts[0].host, "::1");
  EXPECT_EQ(url->hosts[0].port, 7001);
  EXPECT_EQ(url->hosts[1].host, "b");
  EXPECT_EQ(url->hosts[2].port, kRedisPort);
}

TEST(RedisUrl, ReadsUnixSockets) {
  auto url = ParseRedisUrl("unix://u:p@/run/redis.sock?db=2");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->path, "/run/redis.sock");
  EXPECT_EQ(url->user, "u");
  EXPECT_EQ(url->password, "p");
  EXPECT_EQ(url->database, 2u);
  EXPECT_TRUE(url->hosts.empty());
  EXPECT_EQ(ParseRedisUrl("unix:///run/a@b.sock")->path, "/run/a@b.sock");
}

TEST(RedisUrl, RefusesWhatIsNoAddress) {
  for (const char* text :
       {"", "redis://", "http://h", "redis://h:0", "redis://h:99999", "redis://h:x", "redis://h/db",
        "redis://a,,b", "redis://%zz@h", "redis://%4@h", "unix://relative", "unix:///s?x=1",
        "redis://h/-1", "redis://a b"}) {
    EXPECT_FALSE(ParseRedisUrl(text).has_value()) << text;
  }
}

TEST(RedisUrl, IsShownWithoutItsPassword) {
  EXPECT_EQ(ParseRedisUrl("rediss://me:secret@[::1],b:1/4")->Shown(),
            "rediss://me:***@[::1]:6379,b:1/4");
  EXPECT_EQ(ParseRedisUrl("unix://:secret@/s?db=1")->Shown(), "unix://:***@/s?db=1");
}

}  // namespace
}  // namespace headrace::net
