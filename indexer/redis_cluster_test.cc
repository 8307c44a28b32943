// An index over a real Cluster of three nodes on loopback.
#include <gtest/gtest.h>

#include "indexer/redis_rig.h"

namespace headrace::indexer {
namespace {

using Keys = std::vector<uint64_t>;
using Set = std::set<std::string>;
using Map = std::map<std::string, double>;

const RemoteHolder kA{"a", "gpu", -1, false};
const RemoteHolder kB{"b", "cpu", -1, false};

class RedisIndexCluster : public testing::Test {
 protected:
  void SetUp() override {
    HR_NEEDS_REDIS();
    cluster_ = std::make_unique<net::TestCluster>();
    rig_ = std::make_unique<IndexRig>(cluster_->url());
    ASSERT_TRUE(rig_->Up());
    for (uint64_t i = 1; i <= 300; ++i) {
      keys_.push_back(i * 0x9e3779b97f4a7c15);
      engine_.push_back(i);
    }
  }
  void AddAll() {
    (*rig_)->Add(kA, engine_, keys_);
    (*rig_)->Add(kB, std::span(engine_).first(100), std::span(keys_).first(100));
    ASSERT_TRUE(rig_->Flush("a") && rig_->Flush("b"));
  }

  std::unique_ptr<net::TestCluster> cluster_;
  std::unique_ptr<IndexRig> rig_;
  Keys keys_, engine_;
};

TEST_F(RedisIndexCluster, SpreadsOverAllNodesAndScoresAsOne) {
  AddAll();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GT(std::stoi(cluster_->node(i).Ask({"DBSIZE"})), 100) << i;
  }
  EXPECT_EQ(rig_->Score(keys_), (Map{{"a", 300}, {"b", 80}}));
  (*rig_)->Remove(kA, engine_);
  (*rig_)->AddKnown(kB, std::span(engine_).subspan(100, 50));
  ASSERT_TRUE(rig_->Flush("a") && rig_->Flush("b"));
  (*rig_)->Clear("b");
  ASSERT_TRUE(rig_->Flush("b"));
  EXPECT_EQ(rig_->Score(keys_), Map());
  EXPECT_EQ((*rig_)->stats().removed, 300u);
}

TEST_F(RedisIndexCluster, AScoreAsksEachNodeOnce) {
  AddAll();
  rig_->Score(keys_);  // learns the pods
  const uint64_t before = (*rig_)->stats().round_trips;
  rig_->Score(keys_);
  EXPECT_LE((*rig_)->stats().round_trips - before, 3u);
}

TEST_F(RedisIndexCluster, JoinsAsOneServerDoes) {
  (*rig_)->Add(kA, Keys{11, 12, 13, 14}, Keys{1, 2});
  (*rig_)->Add(kA, Keys{21}, Keys{3, 4});
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(rig_->Resolve(12), Keys{1});
  EXPECT_EQ(rig_->Resolve(13), Keys{2});
  EXPECT_EQ(rig_->Resolve(21), (Keys{3, 4}));
}

TEST_F(RedisIndexCluster, ANodeThatRestartsEmptyIsReported) {
  AddAll();
  cluster_->node(1).Kill();
  (*rig_)->Add(kA, engine_, keys_);  // some of it cannot be written
  cluster_->node(1).Start();
  ASSERT_TRUE(rig_->Until([&] { return rig_->lost().size() == 2; }));
  for (const char* pod : {"a", "b"}) (*rig_)->Clear(pod);
  (*rig_)->Add(kA, engine_, keys_);
  // A Cluster that lost a node answers nobody until it is whole again; what is said waits.
  bool written = false;
  ASSERT_TRUE(rig_->Until([&] {
    if (!(*rig_)->available()) return false;
    written = rig_->lost().size() == 2;
    return true;
  }));
  EXPECT_TRUE(written);
  ASSERT_TRUE(rig_->Flush("a"));
  EXPECT_EQ(rig_->Score(keys_), (Map{{"a", 300}}));
}

TEST_F(RedisIndexCluster, HowPodsCountIsKnownToOthers) {
  const RemoteHolder window{"w", "gpu", 0, false};
  (*rig_)->Describe("w", {.groups = {{0, GroupRule::kWindow, 17}}});  // a key
  (*rig_)->Describe("a", {.serves = {"silent"}});
  (*rig_)->Add(window, {}, Keys{keys_[70]});
  (*rig_)->Add(kA, {}, Keys{keys_[0], keys_[1]});
  ASSERT_TRUE(rig_->Flush("w"));
  ASSERT_TRUE(rig_->Flush("a"));
  IndexRig other(cluster_->url());
  ASSERT_TRUE(other.Up());
  const Map expected = {{"a", 2}, {"silent", 2}, {"w", 71}};
  ASSERT_TRUE(rig_->Until([&] { return other.Score(keys_) == expected; }));
  (*rig_)->Describe("a", {});
  ASSERT_TRUE(rig_->Until([&] { return other.Score(keys_) == Map{{"a", 2}, {"w", 71}}; }));
}

TEST_F(RedisIndexCluster, LlmdsSchemaIsRefused) {
  IndexRig llmd(cluster_->url(), RedisSchema::kLlmd);
  ASSERT_TRUE(llmd.Until([&] { return llmd->trouble() == "llm-d's schema knows no Cluster"; }));
  EXPECT_FALSE(llmd->available());
  EXPECT_EQ(llmd.ScoreError(), Errc::kUnavailable);
}

TEST_F(RedisIndexCluster, ADatabaseIsRefused) {
  IndexRig other(cluster_->url() + "/3");
  ASSERT_TRUE(other.Until([&] {
    return !other->trouble().empty() && other->trouble().find("not connected") == std::string::npos;
  }));
  EXPECT_FALSE(other->available());
}

}  // namespace
}  // namespace headrace::indexer
