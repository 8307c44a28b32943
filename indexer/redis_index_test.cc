// The scenarios that llm-d's suite holds every index to, in both schemas, and what is Redis' own.
#include "indexer/redis_index.h"

#include <gtest/gtest.h>

#include "indexer/redis_rig.h"

namespace headrace::indexer {
namespace {

using Keys = std::vector<uint64_t>;
using Set = std::set<std::string>;
using Map = std::map<std::string, double>;

const RemoteHolder kA{"a", "gpu", -1, false};
const RemoteHolder kACpu{"a", "cpu", -1, false};
const RemoteHolder kB{"b", "gpu", -1, false};

class RedisIndexTest : public testing::TestWithParam<RedisSchema> {
 protected:
  void SetUp() override {
    HR_NEEDS_REDIS();
    redis_ = std::make_unique<net::TestRedis>();
    rig_ = std::make_unique<IndexRig>(redis_->url(), GetParam());
    ASSERT_TRUE(rig_->Up());
  }
  void Add(const RemoteHolder& holder, const Keys& engine, const Keys& keys) {
    (*rig_)->Add(holder, engine, keys);
    ASSERT_TRUE(rig_->Flush(holder.pod));
  }
  void Remove(const RemoteHolder& holder, const Keys& engine) {
    (*rig_)->Remove(holder, engine);
    ASSERT_TRUE(rig_->Flush(holder.pod));
  }
  void Clear(const std::string& pod) {
    (*rig_)->Clear(pod);
    ASSERT_TRUE(rig_->Flush(pod));
  }
  Set Holders(RequestKey key) { return rig_->Holders(key); }

  std::unique_ptr<net::TestRedis> redis_;
  std::unique_ptr<IndexRig> rig_;
};

INSTANTIATE_TEST_SUITE_P(Schemas, RedisIndexTest,
                         testing::Values(RedisSchema::kNative, RedisSchema::kLlmd),
                         [](const auto& param) {
                           return param.param == RedisSchema::kNative ? "Native" : "Llmd";
                         });

TEST_P(RedisIndexTest, FindsWhatWasAdded) {
  Add(kA, {11, 12}, {1, 2});
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
  EXPECT_EQ(Holders(2), Set{"a/gpu"});
  EXPECT_EQ(Holders(3), Set{});
  EXPECT_EQ(rig_->Resolve(11), Keys{1});
  EXPECT_EQ(rig_->Resolve(99), Keys{});
}

TEST_P(RedisIndexTest, OnePodInTwoTiersIsTwoHolders) {
  Add(kA, {11}, {1});
  Add(kACpu, {11}, {1});
  Add(kA, {11}, {1});
  EXPECT_EQ(Holders(1), (Set{"a/gpu", "a/cpu"}));
}

TEST_P(RedisIndexTest, ScoresOnlyThePodsThatAreAskedFor) {
  Add(kA, {11}, {1});
  Add(kB, {11}, {1});
  EXPECT_EQ(rig_->Score({1}, {"b"}), (Map{{"b", 1}}));
  EXPECT_EQ(rig_->Score({1}, {"a", "b"}), (Map{{"a", 1}, {"b", 1}}));
  EXPECT_EQ(rig_->Score({1}, {"nobody"}), Map());
}

TEST_P(RedisIndexTest, RemovesOnlyFromTheTierThatIsNamed) {
  Add(kA, {11}, {1});
  Remove(kACpu, {11});
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
  Remove(kA, {11});
  EXPECT_EQ(Holders(1), Set{});
  EXPECT_EQ(rig_->Resolve(11), Keys{});
  EXPECT_EQ((*rig_)->stats().removed, 1u);
}

TEST_P(RedisIndexTest, RemovingWhatIsNotKnownIsNothing) {
  Remove(kA, {11, 12});
  EXPECT_EQ((*rig_)->stats().removed, 0u);
}

TEST_P(RedisIndexTest, AddsWithoutEngineKeysAreSeenAndNotNamed) {
  const RemoteHolder guess{"a", "gpu", -1, true};
  Add(guess, {}, {1, 2});
  EXPECT_EQ(Holders(1), Set{"a/gpu/s"});
  Add(kA, {11}, {1});
  EXPECT_EQ(Holders(1), (Set{"a/gpu", "a/gpu/s"}));
  (*rig_)->RemoveKeys(guess, Keys{1, 2});
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
  EXPECT_EQ(Holders(2), Set{});
}

TEST_P(RedisIndexTest, ManyEngineKeysNameOneBlock) {
  Add(kA, {11, 12, 13, 14, 15, 16, 17, 18}, {1, 2});
  for (uint64_t key = 11; key <= 18; ++key) {
    EXPECT_EQ(rig_->Resolve(key), Keys{key <= 14 ? 1u : 2u}) << key;
  }
  Remove(kA, {12});  // one piece less is no block any more
  EXPECT_EQ(Holders(1), Set{});
  EXPECT_EQ(Holders(2), Set{"a/gpu"});
}

TEST_P(RedisIndexTest, OneEngineKeyNamesManyBlocks) {
  Add(kA, {11, 12}, {1, 2, 3, 4});
  EXPECT_EQ(rig_->Resolve(11), (Keys{1, 2}));
  EXPECT_EQ(rig_->Resolve(12), (Keys{3, 4}));
  Remove(kA, {12});
  EXPECT_EQ(Holders(2), Set{"a/gpu"});
  EXPECT_EQ(Holders(3), Set{});
  EXPECT_EQ(Holders(4), Set{});
}

TEST_P(RedisIndexTest, AnEngineKeyStaysWhileAnotherTierHoldsItsBlock) {
  Add(kA, {11}, {1});
  Add(kACpu, {11}, {1});
  Remove(kA, {11});
  EXPECT_EQ(rig_->Resolve(11), Keys{1});
  EXPECT_EQ(Holders(1), Set{"a/cpu"});
  Remove(kACpu, {11});
  EXPECT_EQ(rig_->Resolve(11), Keys{});
}

TEST_P(RedisIndexTest, TiersAreUpdatedByEngineKeysAlone) {
  Add(kA, {11, 12}, {1, 2});
  (*rig_)->AddKnown(kACpu, Keys{11, 12, 99});
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(Holders(2), (Set{"a/gpu", "a/cpu"}));
  Remove(kA, {11, 12});
  EXPECT_DOUBLE_EQ(rig_->Score({1, 2})["a"], 1.6);
}

TEST_P(RedisIndexTest, GroupsAreHoldersOfTheirOwn) {
  const RemoteHolder full{"a", "gpu", 0, false};
  const RemoteHolder window{"a", "gpu", 1, false};
  Add(full, {11}, {1});
  Add(window, {11}, {1});
  EXPECT_EQ(Holders(1), (Set{"a/gpu/g0", "a/gpu/g1"}));
  Remove(kA, {11});  // without a group: another holder
  EXPECT_EQ(Holders(1).size(), 2u);
  Remove(window, {11});
  EXPECT_EQ(Holders(1), Set{"a/gpu/g0"});
  Remove(full, {11});
  EXPECT_EQ(Holders(1), Set{});
  EXPECT_EQ(rig_->Resolve(11), Keys{});
}

TEST_P(RedisIndexTest, ClearTakesAllTiersOfOnePod) {
  Add(kA, {11, 12}, {1, 2});
  Add(kACpu, {11}, {1});
  Add({"a", "gpu", 2, false}, {11}, {1});
  Add(kB, {11}, {1});
  Clear("a");
  EXPECT_EQ(Holders(1), Set{"b/gpu"});
  EXPECT_EQ(Holders(2), Set{});
  EXPECT_EQ(rig_->Score({1, 2}), (Map{{"b", 1}}));
  Add(kA, {12}, {2});
  EXPECT_EQ(Holders(2), Set{"a/gpu"});
}

TEST_P(RedisIndexTest, WhatIsSaidBeforeClearDoesNotComeBack) {
  (*rig_)->Add(kA, Keys{11}, Keys{1});
  (*rig_)->Clear("a");
  (*rig_)->Add(kA, Keys{12}, Keys{2});
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(Holders(1), Set{});
  EXPECT_EQ(Holders(2), Set{"a/gpu"});
}

TEST_P(RedisIndexTest, ARemovedPodIsForgottenAndMayComeBack) {
  Add(kA, {11}, {1});
  (*rig_)->RemovePod("a");
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(Holders(1), Set{});
  Add(kA, {12}, {1});
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
}

TEST_P(RedisIndexTest, ScoresAPrefixByTheBestTier) {
  Add(kA, {}, {1, 2, 3, 6});
  Add(kACpu, {}, {3});
  Add(kB, {}, {4, 5});
  EXPECT_EQ(rig_->Score({1, 2, 3, 4, 5, 6}), (Map{{"a", 3}}));
  (*rig_)->RemoveKeys(kA, Keys{3});
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_DOUBLE_EQ(rig_->Score({1, 2, 3})["a"], 2.8);
  EXPECT_EQ(rig_->Score({7, 1}), Map());
  EXPECT_EQ(rig_->Score({}), Map());
}

TEST_P(RedisIndexTest, LongPromptsAndManyPods) {
  Keys keys, engine;
  for (uint64_t i = 1; i <= 2000; ++i) {
    keys.push_back(i * 0x9e3779b97f4a7c15);
    engine.push_back(i);
  }
  Map want;
  for (int pod = 0; pod < 20; ++pod) {
    const std::string name = "10.0.0." + std::to_string(pod) + ":8000";
    const size_t prefix = static_cast<size_t>(pod + 1) * 100;
    (*rig_)->Add({name, "gpu", -1, false}, std::span(engine).first(prefix),
                 std::span(keys).first(prefix));
    want[name] = static_cast<double>(prefix);
  }
  for (const auto& [pod, score] : want) ASSERT_TRUE(rig_->Flush(pod));
  EXPECT_EQ(rig_->Score(keys), want);
}

TEST_P(RedisIndexTest, WritesOfABurstShareRoundTrips) {
  Add(kA, {}, {9999});  // the script is there now
  const uint64_t before = (*rig_)->stats().round_trips;
  for (uint64_t i = 1; i <= 320; ++i) (*rig_)->Add(kA, Keys{1000 + i}, Keys{i});
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_LE((*rig_)->stats().round_trips - before, 3u);
  EXPECT_EQ((*rig_)->stats().added, 321u);
  const uint64_t mid = (*rig_)->stats().round_trips;
  Keys all;
  for (uint64_t i = 1; i <= 320; ++i) all.push_back(1000 + i);
  Remove(kA, all);
  EXPECT_EQ((*rig_)->stats().round_trips - mid, 1u);
  EXPECT_EQ(Holders(320), Set{});
}

TEST_P(RedisIndexTest, TwoServersShareOneRedis) {
  IndexRig other(redis_->url(), GetParam());
  ASSERT_TRUE(other.Up());
  Add(kA, {11, 12}, {1, 2});
  other->Add(kB, Keys{11}, Keys{1});
  ASSERT_TRUE(other.Flush("b"));
  EXPECT_EQ(rig_->Score({1, 2}), (Map{{"a", 2}, {"b", 1}}));
  EXPECT_EQ(other.Score({1, 2}), (Map{{"a", 2}, {"b", 1}}));
  Clear("a");
  EXPECT_EQ(other.Score({1, 2}), (Map{{"b", 1}}));  // at once: no one keeps what was true
  Add(kA, {11}, {1});
  EXPECT_EQ(other.Score({1, 2}), (Map{{"a", 1}, {"b", 1}}));
}

TEST_P(RedisIndexTest, WritesWaitWhileRedisIsAway) {
  redis_->Kill();
  ASSERT_TRUE(rig_->Until([&] { return !(*rig_)->available(); }));
  EXPECT_EQ(rig_->ScoreError(), Errc::kUnavailable);
  EXPECT_NE((*rig_)->trouble(), "");
  (*rig_)->Add(kA, Keys{11}, Keys{1});
  EXPECT_GT((*rig_)->stats().queued_keys, 0u);
  redis_->Start();
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
  EXPECT_EQ(rig_->lost().size(), 0u);
}

TEST_P(RedisIndexTest, ARestartIsReportedAndReplayRestores) {
  Add(kA, {11, 12}, {1, 2});
  Add(kB, {11}, {1});
  redis_->Kill();
  ASSERT_TRUE(rig_->Until([&] { return !(*rig_)->available(); }));
  redis_->Start();
  ASSERT_TRUE(rig_->Until([&] { return rig_->lost().size() == 2; }));
  EXPECT_EQ(rig_->lost(), (std::vector<std::string>{"a", "b"}));
  (*rig_)->Add(kA, Keys{13}, Keys{3});  // said to a stream that is lost: it does not count
  EXPECT_FALSE(rig_->Flush("a"));
  EXPECT_EQ(rig_->Score({1, 2}), Map());
  EXPECT_EQ((*rig_)->stats().dropped_keys, 2u);
  for (const char* pod : {"a", "b"}) (*rig_)->Clear(pod);
  (*rig_)->Add(kA, Keys{11, 12, 13}, Keys{1, 2, 3});
  (*rig_)->Add(kB, Keys{11}, Keys{1});
  ASSERT_TRUE(rig_->Flush("a") && rig_->Flush("b"));
  EXPECT_EQ(rig_->Score({1, 2, 3}), (Map{{"a", 3}, {"b", 1}}));
  EXPECT_EQ(rig_->lost().size(), 2u);
}

TEST_P(RedisIndexTest, AConnectionThatBreaksInTheMiddleCountsNothingTwice) {
  for (uint64_t round = 0; round < 30; ++round) {
    for (uint64_t i = 0; i < 50; ++i) {
      (*rig_)->Add(kA, Keys{1000 + round * 50 + i}, Keys{1 + round * 50 + i});
    }
    redis_->Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    ASSERT_TRUE(rig_->Flush("a"));
  }
  EXPECT_EQ(rig_->lost().size(), 0u);
  Keys all;
  for (uint64_t i = 0; i < 1500; ++i) all.push_back(1000 + i);
  Remove(kA, all);
  EXPECT_EQ(redis_->Ask({"DBSIZE"}), GetParam() == RedisSchema::kNative ? "2" : "0");
}

// Redis carries out what it had received from a connection that is no more.
TEST_P(RedisIndexTest, ARunWhoseReplyWasLostCountsOnce) {
  RedisIndexOptions options = IndexOptions(redis_->url(), GetParam());
  options.redis.command_timeout = milliseconds(300);
  IndexRig hasty(options);
  ASSERT_TRUE(hasty.Up());
  hasty->Add(kA, Keys{10}, Keys{9});
  ASSERT_TRUE(hasty.Flush("a"));
  redis_->Freeze();
  hasty->Add(kA, Keys{11}, Keys{1});
  ASSERT_TRUE(hasty.Until([&] { return !hasty->available(); }));
  redis_->Thaw();
  ASSERT_TRUE(hasty.Flush("a"));
  EXPECT_EQ(hasty.lost().size(), 0u);
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
  hasty->Remove(kA, Keys{11});
  ASSERT_TRUE(hasty.Flush("a"));
  EXPECT_EQ(Holders(1), Set{});
}

TEST_P(RedisIndexTest, AFullQueueLosesTheStreamAndSaysSo) {
  RedisIndexOptions options = IndexOptions(redis_->url(), GetParam());
  options.limits.max_queued_keys = 100;
  IndexRig small(options);
  ASSERT_TRUE(small.Up());
  redis_->Freeze();
  for (uint64_t i = 1; i <= 2000 && small->stats().lost_streams == 0; ++i) {
    small->Add(kA, Keys{1000 + i}, Keys{i});
  }
  EXPECT_EQ(small->stats().lost_streams, 1u);
  redis_->Thaw();
  ASSERT_TRUE(small.Until([&] { return !small.lost().empty(); }));
  EXPECT_EQ(small.lost(), std::vector<std::string>{"a"});
  EXPECT_LE(small->stats().queued_keys, 100u);
  small->Clear("a");
  small->Add(kA, Keys{11}, Keys{1});
  ASSERT_TRUE(small.Flush("a"));
  EXPECT_EQ(small.Score({1, 2}), (Map{{"a", 1}}));
}

TEST_P(RedisIndexTest, AWriteThatRedisRefusesLosesTheStream) {
  redis_->Ask({"CONFIG", "SET", "maxmemory", "1"});
  (*rig_)->Add(kA, Keys{11}, Keys{1});
  EXPECT_FALSE(rig_->Flush("a"));
  ASSERT_TRUE(rig_->Until([&] { return rig_->lost().size() == 1; }));
  redis_->Ask({"CONFIG", "SET", "maxmemory", "0"});
  (*rig_)->Clear("a");
  Add(kA, {11}, {1});
  EXPECT_EQ(Holders(1), Set{"a/gpu"});
}

TEST_P(RedisIndexTest, APodThatAlwaysHasMoreToSayLeavesRoomForOthers) {
  RedisIndexOptions options = IndexOptions(redis_->url(), GetParam());
  options.limits.max_runs = 1;
  options.limits.max_run_keys = 4;
  IndexRig narrow(options);
  ASSERT_TRUE(narrow.Up());
  for (uint64_t i = 1; i <= 400; ++i) narrow->Add(kA, Keys{1000 + i}, Keys{i});
  narrow->Add(kB, Keys{1001}, Keys{1});
  ASSERT_TRUE(narrow.Flush("b"));
  EXPECT_GT(narrow->stats().queued_keys, 1000u);
  ASSERT_TRUE(narrow.Flush("a"));
  EXPECT_EQ(narrow.Holders(400), Set{"a/gpu"});
}

class RedisIndexNative : public testing::Test {
 protected:
  void SetUp() override {
    HR_NEEDS_REDIS();
    redis_ = std::make_unique<net::TestRedis>();
  }
  std::unique_ptr<net::TestRedis> redis_;
};

TEST_F(RedisIndexNative, AnEmptiedRedisIsNoticedByPodsThatAreSilent) {
  RedisIndexOptions options = IndexOptions(redis_->url());
  options.check = milliseconds(5);
  IndexRig rig(options);
  ASSERT_TRUE(rig.Up());
  rig->Add(kA, Keys{11}, Keys{1});
  rig->Add(kB, Keys{11}, Keys{1});
  ASSERT_TRUE(rig.Flush("a") && rig.Flush("b"));
  const uint64_t before = rig->stats().round_trips;
  ASSERT_TRUE(rig.Until([&] { return rig->stats().round_trips > before + 3; }));
  EXPECT_EQ(rig.lost().size(), 0u);
  redis_->Ask({"FLUSHALL"});
  ASSERT_TRUE(rig.Until([&] { return rig.lost().size() == 2; }));
  rig->Clear("a");
  rig->Add(kA, Keys{11}, Keys{1});
  ASSERT_TRUE(rig.Flush("a"));
  EXPECT_EQ(rig.Holders(1), Set{"a/gpu"});
}

// Another server kept who had which life: numbers that come again would make it answer wrongly.
TEST_F(RedisIndexNative, LivesAreNewAlsoWhereRedisForgotTheLast) {
  IndexRig rig(redis_->url());
  IndexRig other(redis_->url());
  ASSERT_TRUE(rig.Up() && other.Up());
  const std::string lives = NativeNames("hr:").lives;
  for (int round = 0; round < 10; ++round) {  // some of them within one second
    rig->Clear("a");
    rig->Add(kA, {}, Keys{1});
    ASSERT_TRUE(rig.Flush("a"));
    EXPECT_EQ(other.Holders(1), Set{"a/gpu"});
    const uint64_t last = std::stoull(redis_->Ask({"GET", lives}));
    redis_->Ask({"FLUSHALL"});
    rig->Clear("b");
    rig->Add(kB, {}, Keys{1});
    ASSERT_TRUE(rig.Flush("b"));
    EXPECT_GT(std::stoull(redis_->Ask({"GET", lives})), last);
    EXPECT_EQ(other.Holders(1), Set{"b/gpu"});
    redis_->Ask({"FLUSHALL"});
  }
}

TEST_F(RedisIndexNative, ARemovalThatRedisRefusesIsTold) {
  IndexRig rig(redis_->url());
  ASSERT_TRUE(rig.Up());
  rig->Add(kA, Keys{11}, Keys{1});
  ASSERT_TRUE(rig.Flush("a"));
  redis_->Ask({"CONFIG", "SET", "maxmemory", "1"});
  rig->RemovePod("a");
  EXPECT_FALSE(rig.Flush("a"));
  ASSERT_TRUE(rig.Until([&] { return rig.lost().size() == 1; }));
  redis_->Ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(rig.Holders(1), Set{"a/gpu"});  // neither half removed nor hidden
  rig->RemovePod("a");
  ASSERT_TRUE(rig.Flush("a"));
  EXPECT_EQ(rig.Holders(1), Set{});
}

TEST(RedisIndexRules, AreThereAgainWithTheConnection) {
  HR_NEEDS_REDIS();
  net::TestRedis redis;
  RedisIndexOptions options = IndexOptions(redis.url());
  options.check = Duration(0);  // nobody looks
  IndexRig rig(options);
  ASSERT_TRUE(rig.Up());
  rig->Describe("a", {.serves = {"silent"}});
  const auto there = [&] {
    return redis.Ask({"HKEYS", NativeNames(options.prefix).rules}) == "[a]";
  };
  ASSERT_TRUE(rig.Until(there));
  redis.Kill();
  ASSERT_TRUE(rig.Until([&] { return !rig->available(); }));
  redis.Start();
  EXPECT_TRUE(rig.Until(there));
}

}  // namespace
}  // namespace headrace::indexer
