#include "indexer/scorer.h"

#include <gtest/gtest.h>

#include "indexer/memory_index.h"

namespace headrace::indexer {
namespace {

struct Fixture {
  Fixture() : index(*MemoryIndex::Create({.seed = 3})), scorer(index.get(), &tiers) {}

  void Store(PodId pod, std::string_view tier, std::vector<RequestKey> keys, int16_t group = -1) {
    std::vector<EngineKey> engine;
    for (const RequestKey key : keys) engine.push_back(key + 1000);
    index->Add(Holder(pod, tier, group), engine, keys);
  }
  void Remove(PodId pod, std::string_view tier, std::vector<RequestKey> keys, int16_t group = -1) {
    for (const RequestKey key : keys) {
      const EngineKey engine = key + 1000;
      (void)index->Remove(Holder(pod, tier, group), {&engine, 1});
    }
  }
  HolderId Holder(PodId pod, std::string_view tier, int16_t group = -1) {
    return index->AddHolder({pod, tiers.Intern(tier), group, false});
  }
  std::vector<PodScore> Score(std::vector<RequestKey> keys, uint32_t key_tokens = 16) {
    std::vector<PodScore> scores;
    scorer.Score({keys, {}, false, key_tokens}, &scores);
    return scores;
  }
  double ScoreOf(PodId pod, std::vector<RequestKey> keys) {
    for (const PodScore& score : Score(std::move(keys))) {
      if (score.pod == pod) return score.score;
    }
    return 0;
  }

  TierTable tiers;
  std::unique_ptr<MemoryIndex> index;
  Scorer scorer;
};

using Keys = std::vector<RequestKey>;

constexpr PodId kA = 0, kB = 1;

// What llm-d's own tests say of its scorer.

TEST(Scorer, CountsThePrefixUpToTheFirstGap) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2, 3, 6});
  f.Store(kA, "cpu", {3});
  f.Store(kB, "gpu", {4, 5});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4, 5, 6}), 3.0);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kB, {1, 2, 3, 4, 5, 6}), 0.0);
}

TEST(Scorer, WeighsABlockByItsBestTier) {
  Fixture f;
  f.tiers.Set("cpu", 0.5);
  f.Store(kA, "gpu", {1, 2});
  f.Store(kA, "cpu", {3});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3}), 2.5);
}

TEST(Scorer, MixesTiersAlongThePrefix) {
  Fixture f;
  f.Store(kA, "gpu", {1});
  f.Store(kA, "cpu", {2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 1.8);
}

TEST(Scorer, OrdersPodsByScoreThenByNumber) {
  Fixture f;
  f.Store(5, "gpu", {1, 2, 3});
  f.Store(9, "gpu", {1, 2});
  f.Store(2, "gpu", {1, 2});
  f.Store(7, "gpu", {1, 2, 3});
  std::vector<PodId> pods;
  for (const PodScore& score : f.Score({1, 2, 3})) pods.push_back(score.pod);
  EXPECT_EQ(pods, (std::vector<PodId>{5, 7, 2, 9}));
}

TEST(Scorer, GivesNothingForNoKeysOrAnUnknownFirstBlock) {
  Fixture f;
  f.Store(kA, "gpu", {2, 3});
  EXPECT_TRUE(f.Score({}).empty());
  EXPECT_TRUE(f.Score({1, 2, 3}).empty());
}

TEST(Scorer, StopsWhereABlockWasRemoved) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2, 3, 4});
  f.Remove(kA, "gpu", {2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4}), 1.0);
}

TEST(Scorer, TakesTheHighestOfTwoTiersUntilItGoes) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2});
  f.Store(kA, "cpu", {1, 2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 2.0);
  f.Remove(kA, "gpu", {1, 2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 1.6);
}

TEST(Scorer, IgnoresARemovalOnAnotherTierOrGroup) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2}, 0);
  f.Remove(kA, "cpu", {1, 2}, 0);
  f.Remove(kA, "gpu", {1, 2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 2.0);
}

TEST(Scorer, KeepsTheOtherPodsWhenOneEnds) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2});
  f.Store(kB, "gpu", {1, 2});
  f.index->EndHolder(f.Holder(kA, "gpu"));
  const auto scores = f.Score({1, 2});
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].pod, kB);
}

TEST(Scorer, FindsWhatIsStoredAgainAfterItsHolderEnded) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2, 3, 4});
  f.index->EndHolder(f.Holder(kA, "gpu"));
  f.Store(kA, "gpu", {3, 4});
  f.Store(kA, "gpu", {1, 2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4}), 4.0);
}

std::vector<RequestKey> KeysFrom(RequestKey first, RequestKey last) {
  std::vector<RequestKey> keys;
  for (RequestKey key = first; key <= last; ++key) keys.push_back(key);
  return keys;
}

TEST(Scorer, FollowsALongPromptWhereverItsBlocksLie) {
  Fixture f;
  f.Store(kA, "gpu", KeysFrom(1, 200));
  f.Store(kB, "gpu", {7001, 7002, 7003});
  f.Store(kA, "gpu", KeysFrom(201, 400));
  f.Store(kB, "gpu", KeysFrom(1, 150));
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, KeysFrom(1, 400)), 400);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kB, KeysFrom(1, 400)), 150);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, KeysFrom(301, 500)), 100);  // behind the last block of all
  for (RequestKey turn = 100; turn <= 140; ++turn) {         // it goes on somewhere else
    std::vector<RequestKey> keys = KeysFrom(1, turn);
    const std::vector<RequestKey> rest = KeysFrom(250, 400);
    keys.insert(keys.end(), rest.begin(), rest.end());
    ASSERT_DOUBLE_EQ(f.ScoreOf(kA, keys), static_cast<double>(turn + 151)) << turn;
    keys[180] = 9999;  // a block that nobody has
    ASSERT_DOUBLE_EQ(f.ScoreOf(kA, keys), 180) << turn;
  }
}

// Where it differs from llm-d's on purpose.

TEST(Scorer, TakesAsManyRemovalsAsCopies) {
  Fixture f;
  f.Store(kA, "gpu", {1, 2});
  f.Store(kA, "gpu", {1, 2});
  f.Remove(kA, "gpu", {1, 2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 2.0);
  f.Remove(kA, "gpu", {1, 2});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 0.0);
}

TEST(Scorer, WeighsAnUnknownTierBelowTheLowest) {
  Fixture f;
  f.Store(kA, "tape", {1});
  EXPECT_LT(f.ScoreOf(kA, {1}), 0.4);
  EXPECT_GT(f.ScoreOf(kA, {1}), 0.3);
}

TEST(Scorer, NormalizesByTheBlocksAskedAndTheHighestWeight) {
  Fixture f;
  f.tiers.Set("gpu", 2.0);
  f.Store(kA, "gpu", {1, 2});
  const auto scores = f.Score({1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(scores.at(0).score, 4.0);
  EXPECT_DOUBLE_EQ(scores.at(0).normalized, 0.5);
  EXPECT_EQ(scores.at(0).blocks, 2u);
}

TEST(Scorer, HasNoCapOnHolders) {
  Fixture f;
  for (PodId pod = 0; pod < 3000; ++pod) f.Store(pod, "gpu", {1, 2});
  EXPECT_EQ(f.Score({1, 2}).size(), 3000u);
}

// Many pods, some of which leave at the same block: wherever their bits lie.
TEST(Scorer, SeesEachOfManyPodsThatLeaveAtOnce) {
  constexpr PodId kPods = 900;
  const auto leaves = [](PodId pod) { return pod % 37 == 5 || pod == 64 || pod == 65; };
  Fixture f;
  for (PodId pod = 0; pod < kPods; ++pod) {
    f.Store(pod, "gpu", leaves(pod) ? Keys{1, 2} : Keys{1, 2, 3});
  }
  size_t left = 0;
  const auto scores = f.Score({1, 2, 3});
  ASSERT_EQ(scores.size(), kPods);
  for (const PodScore& score : scores) {
    EXPECT_EQ(score.blocks, leaves(score.pod) ? 2u : 3u) << score.pod;
    left += score.blocks == 2 ? 1 : 0;
  }
  EXPECT_EQ(left, 27u);
}

TEST(Scorer, LooksAtTheNamedPodsOnly) {
  Fixture f;
  for (PodId pod = 0; pod < 5; ++pod) f.Store(pod, "gpu", {1});
  const std::vector<RequestKey> keys = {1};
  const std::vector<PodId> pods = {3, 1, 3, 77};
  std::vector<PodScore> scores;
  f.scorer.Score({keys, pods, true, 16}, &scores);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].pod, 1u);
  EXPECT_EQ(scores[1].pod, 3u);
  f.scorer.Score({keys, {}, true, 16}, &scores);
  EXPECT_TRUE(scores.empty());
}

// Groups.

TEST(Scorer, CountsAHybridPrefixWhereItsWindowIsWhole) {
  Fixture f;
  const GroupSpec specs[] = {{0, GroupRule::kFull, 0}, {1, GroupRule::kWindow, 33}};  // 2 blocks
  f.scorer.SetGroups(kA, specs);
  f.Store(kA, "gpu", {1, 2, 3, 4, 5, 6}, 0);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4, 5, 6}), 0.0);
  f.Store(kA, "gpu", {3, 4, 6}, 1);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4, 5, 6}), 4.0);
  f.Store(kA, "gpu", {5}, 1);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4, 5, 6}), 6.0);
}

TEST(Scorer, NeedsTheLastStateOfAStateModel) {
  Fixture f;
  const GroupSpec specs[] = {{0, GroupRule::kFull, 0}, {2, GroupRule::kState, 0}};
  f.scorer.SetGroups(kA, specs);
  f.Store(kA, "gpu", {1, 2, 3, 4}, 0);
  f.Store(kA, "gpu", {2}, 2);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4}), 2.0);
}

TEST(Scorer, LetsACopyWithoutAGroupCountForAll) {
  Fixture f;
  const GroupSpec specs[] = {{0, GroupRule::kFull, 0}, {1, GroupRule::kFull, 0}};
  f.scorer.SetGroups(kA, specs);
  f.Store(kA, "gpu", {1, 2}, 0);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 0.0);
  f.Store(kA, "cpu", {1});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2}), 0.8);  // the worse one of the two groups
}

TEST(Scorer, SkipsAGapThatNoWindowNeeds) {
  Fixture f;
  const GroupSpec specs[] = {{0, GroupRule::kWindow, 33}};
  f.scorer.SetGroups(kA, specs);
  f.Store(kA, "gpu", {4}, 0);
  f.Store(kA, "cpu", {5}, 0);
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4, 5, 6}), 5 * 0.8);
  f.scorer.SetGroups(kA, {});
  EXPECT_DOUBLE_EQ(f.ScoreOf(kA, {1, 2, 3, 4, 5, 6}), 0.0);
}

TEST(Tiers, ReadsMediaInAnyCase) {
  TierTable tiers;
  EXPECT_EQ(tiers.Intern(""), tiers.Intern("GPU"));
  EXPECT_EQ(tiers.weight(tiers.Intern("Shared_Storage")), 0.5);
  EXPECT_EQ(tiers.name(tiers.Intern("CPU")), "cpu");
}

TEST(Tiers, SharesTheLastNumberAmongTooMany) {
  TierTable tiers;
  for (int i = 0; i < 400; ++i) (void)tiers.Intern("tier-" + std::to_string(i));
  EXPECT_EQ(tiers.size(), TierTable::kMaxTiers);
  EXPECT_EQ(tiers.Intern("one more"), tiers.Intern("and another"));
  EXPECT_EQ(tiers.name(tiers.Intern("one more")), "other");
}

}  // namespace
}  // namespace headrace::indexer
