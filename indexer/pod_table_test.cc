#include "indexer/pod_table.h"

#include <gtest/gtest.h>

#include <map>

#include "indexer/model_index.h"

namespace headrace::indexer {
namespace {

struct Table {
  void Serve(PodId node, const std::vector<std::string_view>& names) { pods.Serve(node, 1, names); }

  ModelIndex index;
  PodTable pods{&index};
};

TEST(PodTable, GivesNumbersThatStay) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  EXPECT_EQ(*t.pods.Intern("a"), a);
  EXPECT_NE(*t.pods.Intern("b"), a);
  EXPECT_EQ(t.pods.name(a), "a");
  EXPECT_EQ(*t.pods.Find("a"), a);
  EXPECT_FALSE(t.pods.Find("c"));
  EXPECT_EQ(t.pods.size(), 2u);
  EXPECT_EQ(t.pods.Intern(std::string(513, 'x')).error().code, Errc::kLimit);
  EXPECT_EQ(t.pods.refused(), 1u);
}

TEST(PodTable, MakesMembersOfRanksAndOfFurtherModels) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  EXPECT_EQ(*t.pods.Member(a, 1, -1), a);
  EXPECT_EQ(*t.pods.Member(a, 1, 0), a);
  const PodId rank = *t.pods.Member(a, 1, 3);
  const PodId model = *t.pods.Member(a, 2, 0);
  EXPECT_EQ(*t.pods.Member(a, 1, 3), rank);
  EXPECT_EQ(t.pods.name(rank), "a#3");
  EXPECT_EQ(t.pods.ScoredAs(rank), a);
  EXPECT_EQ(t.pods.ScoredAs(model), a);
  size_t pods = 0;
  t.pods.ForEach([&](PodId) { ++pods; });
  EXPECT_EQ(pods, 1u);
}

TEST(PodTable, EndsHoldersWithTheirEpoch) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  const HolderId gpu = *t.pods.Holder(a, {.tier = 0});
  EXPECT_EQ(*t.pods.Holder(a, {.tier = 0}), gpu);
  EXPECT_NE(*t.pods.Holder(a, {.tier = 1}), gpu);
  EXPECT_NE(*t.pods.Holder(a, {.tier = 0, .group = 1}), gpu);
  EXPECT_EQ(t.index.holder(gpu).pod, a);
  EXPECT_EQ(t.pods.FindHolder(a, {.tier = 7}), kNoHolder);
  const std::vector<RequestKey> keys{11, 12};
  t.index.Add(gpu, {}, keys);
  const uint32_t epoch = t.pods.epoch(a);
  t.pods.Clear(a);
  EXPECT_GT(t.pods.epoch(a), epoch);
  EXPECT_TRUE(t.index.Holders(11).empty());
  EXPECT_EQ(t.pods.FindHolder(a, {.tier = 0}), kNoHolder);
}

TEST(PodTable, BoundsTheKindsOfCopiesOfAPod) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  for (size_t i = 0; i < PodTable::kMaxHolders; ++i) {
    ASSERT_TRUE(t.pods.Holder(a, {.group = static_cast<int16_t>(i)}));
  }
  EXPECT_EQ(t.pods.Holder(a, {.group = 999}).error().code, Errc::kLimit);
}

TEST(PodTable, RemovesAPodWithItsMembersAndGivesNoOldLifeAgain) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  (void)*t.pods.Member(a, 1, 0);
  const PodId rank = *t.pods.Member(a, 1, 1);
  const PodId node = *t.pods.Intern("node");
  t.Serve(node, {"a", "a"});
  EXPECT_EQ(t.pods.Served(node).size(), 2u);  // both ranks, once
  const HolderId holder = *t.pods.Holder(rank, {});
  const std::vector<RequestKey> keys{11};
  t.index.Add(holder, {}, keys);
  const uint32_t life = t.pods.life(a);
  t.pods.Remove(a);
  EXPECT_TRUE(t.index.Holders(11).empty());
  EXPECT_EQ(t.pods.state(a), PodState::kGone);
  EXPECT_FALSE(t.pods.Find("a"));
  EXPECT_TRUE(t.pods.Served(node).empty());
  EXPECT_EQ(t.pods.Member(a, 1, 1).error().code, Errc::kGone);
  const PodId reused = *t.pods.Intern("c");
  EXPECT_TRUE(reused == a || reused == rank);
  EXPECT_NE(t.pods.life(reused), life);
  EXPECT_EQ(t.pods.counters(reused).events, 0u);
}

TEST(PodTable, IsUncertainWhileAnyStreamIs) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  t.pods.SetUncertain(a, true);
  t.pods.SetUncertain(a, true);
  t.pods.SetUncertain(a, false);
  EXPECT_EQ(t.pods.state(a), PodState::kUncertain);
  t.pods.SetUncertain(a, false);
  EXPECT_EQ(t.pods.state(a), PodState::kLive);
  EXPECT_STREQ(PodStateName(PodState::kUncertain), "uncertain");
}

TEST(PodTable, FoldsScoresOfMembers) {
  Table t;
  const PodId a = *t.pods.Intern("a");
  const PodId b = *t.pods.Intern("b");
  (void)*t.pods.Member(a, 1, 0);
  const PodId rank = *t.pods.Member(a, 1, 1);
  std::vector<PodScore> scores{{a, 1, 0.1, 1}, {rank, 3, 0.3, 3}, {b, 2, 0.2, 2}};
  t.pods.Fold(&scores);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].pod, a);
  EXPECT_EQ(scores[0].blocks, 3u);
  EXPECT_EQ(scores[1].pod, b);
}

TEST(PodTable, PodsOfListsComeAndGoWithThem) {
  Table t;
  const PodId node = *t.pods.Intern("node");
  const PodId other = *t.pods.Intern("other");
  const PodId known = *t.pods.Intern("known");
  t.Serve(node, {"known", "listed", "node"});
  t.Serve(other, {"listed"});
  EXPECT_EQ(t.pods.Served(node).size(), 2u);  // never itself
  t.Serve(node, {});
  EXPECT_TRUE(t.pods.Find("listed"));
  EXPECT_EQ(t.pods.Find("known"), known);
  t.pods.Remove(other);
  EXPECT_FALSE(t.pods.Find("listed"));
  t.Serve(node, {"later"});
  (void)*t.pods.Intern("later");
  t.Serve(node, {});
  EXPECT_TRUE(t.pods.Find("later"));  // its own events came meanwhile
}

TEST(PodTable, TellsOfEachChangeOfAList) {
  Table t;
  std::map<PodId, std::vector<PodId>> told;
  size_t calls = 0;
  t.pods.OnServed([&](PodId node, std::span<const PodId> pods) {
    told[node].assign(pods.begin(), pods.end());
    ++calls;
  });
  const PodId node = *t.pods.Intern("node");
  t.Serve(node, {"a"});
  t.Serve(node, {"a"});
  EXPECT_EQ(calls, 1u);
  const PodId a = *t.pods.Find("a");
  EXPECT_EQ(told[node], std::vector<PodId>{a});
  // A rank that comes later, and one of another model.
  const PodId rank = *t.pods.Member(a, 1, 1);
  (void)*t.pods.Member(a, 2, 0);
  EXPECT_EQ(told[node], (std::vector<PodId>{a, rank}));
  t.pods.ServeIn(node, 2);
  EXPECT_EQ(told[node].size(), 1u);
  EXPECT_NE(told[node], std::vector<PodId>{a});
  t.pods.Remove(node);
  EXPECT_TRUE(told[node].empty());
}

TEST(PodTable, IsUncertainWhileANodeThatServesItIs) {
  Table t;
  const PodId node = *t.pods.Intern("node");
  const PodId a = *t.pods.Intern("a");
  t.Serve(node, {"a"});
  t.pods.SetUncertain(node, true);
  EXPECT_EQ(t.pods.state(a), PodState::kUncertain);
  t.Serve(node, {});
  EXPECT_EQ(t.pods.state(a), PodState::kLive);
}

}  // namespace
}  // namespace headrace::indexer
