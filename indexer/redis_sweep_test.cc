#include "indexer/redis_sweep.h"

#include <gtest/gtest.h>

#include "indexer/redis_rig.h"

namespace headrace::indexer {
namespace {

using Keys = std::vector<uint64_t>;
using Set = std::set<std::string>;

const RemoteHolder kA{"a", "gpu", -1, false};
const RemoteHolder kB{"b", "gpu", -1, false};

RedisIndexOptions Sweeping(const std::string& url) {
  RedisIndexOptions options = IndexOptions(url);
  options.sweep.every = milliseconds(5);
  options.sweep.page_keys = 10;
  options.sweep.grace = milliseconds(1);
  return options;
}

TEST(RedisSweep, TakesWhatAClearLeftAndNothingElse) {
  HR_NEEDS_REDIS();
  net::TestRedis redis;
  IndexRig rig(redis.url());
  ASSERT_TRUE(rig.Up());
  Keys keys, engine;
  for (uint64_t i = 1; i <= 200; ++i) {
    keys.push_back(i);
    engine.push_back(1000 + i);
  }
  rig->Add(kA, engine, keys);
  rig->Add(kB, std::span(engine).first(50), std::span(keys).first(50));
  rig->Clear("a");
  rig->Add(kA, engine, keys);
  ASSERT_TRUE(rig.Flush("a") && rig.Flush("b"));
  rig->Clear("a");
  ASSERT_TRUE(rig.Flush("a"));
  redis.Ask({"SET", "hr:other", "not ours"});
  redis.Ask({"HSET", "another:r12345678", "f", "v"});
  IndexRig sweeper(Sweeping(redis.url()));
  // 50 blocks with 50 engine keys, the table of pods, the two strangers.
  ASSERT_TRUE(sweeper.Until([&] {
    const std::string size = redis.Ask({"DBSIZE"});
    return (size == "104" || size == "105") &&  // with the sweeper's lock
           sweeper->stats().swept_keys == 150;
  }));
  EXPECT_EQ(sweeper->stats().swept_fields, 400u);  // of two lives
  EXPECT_EQ(rig.Holders(50), Set{"b/gpu"});
  EXPECT_EQ(rig.Resolve(1050), Keys{50});
  EXPECT_EQ(rig.Resolve(1051), Keys{});
  EXPECT_EQ(redis.Ask({"HGET", "another:r12345678", "f"}), "v");
}

TEST(RedisSweep, KeepsAnEngineKeyThatWasJustWritten) {
  HR_NEEDS_REDIS();
  net::TestRedis redis;
  RedisIndexOptions options = Sweeping(redis.url());
  options.sweep.grace = seconds(30);
  IndexRig rig(options);
  ASSERT_TRUE(rig.Up());
  rig->Add(kA, Keys{11}, Keys{1});
  rig->Clear("a");
  rig->Add(kA, Keys{11}, Keys{1});
  rig->RemoveKeys(kA, Keys{1});  // as if its block were on its way to another node
  ASSERT_TRUE(rig.Flush("a"));
  const std::string lock = NativeNames("hr:").sweeper;
  int passes = 0;
  ASSERT_TRUE(rig.Until([&] {
    passes += redis.Ask({"DEL", lock}) == "1" ? 1 : 0;
    return passes > 5;
  }));
  EXPECT_EQ(rig.Resolve(11), Keys{1});
}

TEST(RedisSweep, AnIndexWhoseServersAreGoneVanishes) {
  HR_NEEDS_REDIS();
  net::TestRedis redis;
  {
    RedisIndexOptions options = Sweeping(redis.url());
    options.sweep.ttl = milliseconds(400);
    IndexRig rig(options);
    ASSERT_TRUE(rig.Up());
    rig->Add(kA, Keys{11, 12}, Keys{1, 2});
    ASSERT_TRUE(rig.Flush("a"));
    // Twice the time to live: the sweep keeps it.
    const Time later = MonotonicNow() + milliseconds(800);
    ASSERT_TRUE(rig.Until([&] { return MonotonicNow() >= later; }));
    EXPECT_EQ(rig.Holders(2), Set{"a/gpu"});
    EXPECT_EQ(rig.Resolve(12), Keys{2});
  }
  IndexRig other(redis.url());
  ASSERT_TRUE(other.Until([&] { return redis.Ask({"DBSIZE"}) == "0"; }));
}

TEST(RedisSweep, SweepsEveryNodeOfACluster) {
  HR_NEEDS_REDIS();
  net::TestCluster cluster;
  IndexRig rig(Sweeping(cluster.url()));
  ASSERT_TRUE(rig.Up());
  Keys keys, engine;
  for (uint64_t i = 1; i <= 100; ++i) {
    keys.push_back(i);
    engine.push_back(1000 + i);
  }
  rig->Add(kA, engine, keys);
  rig->Add(kB, Keys{1001}, Keys{1});
  ASSERT_TRUE(rig.Flush("a") && rig.Flush("b"));
  rig->Clear("a");
  ASSERT_TRUE(rig.Flush("a"));
  ASSERT_TRUE(
      rig.Until([&] { return rig->stats().swept_fields == 100 && rig->stats().swept_keys == 99; }));
  EXPECT_EQ(rig.Holders(1), Set{"b/gpu"});
  EXPECT_EQ(rig.Resolve(1001), Keys{1});
}

}  // namespace
}  // namespace headrace::indexer
