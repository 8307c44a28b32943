#include "indexer/served_pods.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "indexer/memory_index.h"
#include "indexer/model_index.h"

namespace headrace::indexer {
namespace {

constexpr PodId kPod = 0, kOther = 1, kNode = 2, kNode2 = 3;

struct World {
  World() : index(*MemoryIndex::Create({.seed = 3})), scorer(index.get(), &tiers) {}

  void Store(PodId pod, std::string_view tier, const std::vector<RequestKey>& keys,
             int16_t group = -1) {
    index->Add(index->AddHolder({pod, tiers.Intern(tier), group, false}), {}, keys);
  }
  void Serve(PodId node, const std::vector<PodId>& pods) { scorer.SetServed(node, pods); }
  PodScore ScoreOf(PodId pod, const std::vector<RequestKey>& keys) {
    std::vector<PodScore> scores;
    scorer.Score({keys, {}, false, 16}, &scores);
    for (const PodScore& score : scores) {
      if (score.pod == pod) return score;
    }
    return {};
  }

  TierTable tiers;
  std::unique_ptr<MemoryIndex> index;
  Scorer scorer;
};

TEST(ServedPods, ANodesCopiesCountForEachPodThatItServes) {
  World w;
  w.Store(kNode, "cpu", {1, 2, 3});
  EXPECT_EQ(w.ScoreOf(kPod, {1, 2, 3}).blocks, 0u);
  w.Serve(kNode, {kPod, kOther});
  EXPECT_DOUBLE_EQ(w.ScoreOf(kPod, {1, 2, 3}).score, 3 * 0.8);
  EXPECT_DOUBLE_EQ(w.ScoreOf(kOther, {1, 2, 3}).score, 3 * 0.8);
  EXPECT_DOUBLE_EQ(w.ScoreOf(kNode, {1, 2, 3}).score, 3 * 0.8);
}

TEST(ServedPods, TheBestTierOfABlockCountsOnce) {
  World w;
  w.Serve(kNode, {kPod});
  w.Store(kPod, "gpu", {1, 2});
  w.Store(kNode, "cpu", {1, 2});
  EXPECT_DOUBLE_EQ(w.ScoreOf(kPod, {1, 2}).score, 2.0);
  w.Store(kNode2, "disk", {1, 2});
  w.Serve(kNode2, {kPod, kOther});
  EXPECT_DOUBLE_EQ(w.ScoreOf(kPod, {1, 2}).score, 2.0);
  EXPECT_DOUBLE_EQ(w.ScoreOf(kOther, {1, 2}).score, 1.0);
}

TEST(ServedPods, APrefixGoesOnFromThePodToTheNodeAndBack) {
  World w;
  w.Serve(kNode, {kPod});
  w.Store(kPod, "gpu", {1, 2, 5});
  w.Store(kNode, "cpu", {2, 3, 4});
  const PodScore score = w.ScoreOf(kPod, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(score.blocks, 5u);
  EXPECT_DOUBLE_EQ(score.score, 1 + 1 + 0.8 + 0.8 + 1);
}

TEST(ServedPods, TheScoreFollowsTheListAtOnce) {
  World w;
  w.Store(kNode, "cpu", {1, 2});
  w.Serve(kNode, {kPod});
  w.Serve(kNode, {kOther});
  EXPECT_EQ(w.ScoreOf(kPod, {1, 2}).blocks, 0u);
  EXPECT_EQ(w.ScoreOf(kOther, {1, 2}).blocks, 2u);
  w.Serve(kNode, {});
  EXPECT_EQ(w.ScoreOf(kOther, {1, 2}).blocks, 0u);
  EXPECT_EQ(w.ScoreOf(kNode, {1, 2}).blocks, 2u);
}

TEST(ServedPods, GroupsOfThePodCountTheNodesCopies) {
  World w;
  const GroupSpec specs[] = {{0, GroupRule::kFull, 0}, {1, GroupRule::kWindow, 17}};  // 1 block
  w.scorer.SetGroups(kPod, specs);
  w.Serve(kNode, {kPod});
  w.Store(kPod, "gpu", {1, 2}, 0);
  w.Store(kNode, "cpu", {3}, 0);
  EXPECT_EQ(w.ScoreOf(kPod, {1, 2, 3}).blocks, 0u);
  w.Store(kNode, "cpu", {3}, 1);
  EXPECT_DOUBLE_EQ(w.ScoreOf(kPod, {1, 2, 3}).score, 2.8);
}

TEST(ServedPods, AFilterChoosesAmongServedPodsToo) {
  World w;
  w.Store(kNode, "cpu", {1});
  w.Serve(kNode, {kPod, kOther});
  const std::vector<RequestKey> keys = {1};
  const std::vector<PodId> pods = {kOther};
  std::vector<PodScore> scores;
  w.scorer.Score({keys, pods, true, 16}, &scores);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].pod, kOther);
}

TEST(ServedPods, KeepsBothWaysOfTheList) {
  ServedPods served;
  EXPECT_FALSE(served.any());
  served.Set(7, {});
  const PodId pods[] = {4, 2, 4, 7};
  served.Set(7, pods);
  EXPECT_TRUE(served.any());
  EXPECT_EQ(std::vector(served.Of(7).begin(), served.Of(7).end()), (std::vector<PodId>{2, 4}));
  served.Set(8, {pods, 1});
  EXPECT_EQ(served.NodesOf(4).size(), 2u);
  served.Set(7, {});
  EXPECT_EQ(served.NodesOf(4).size(), 1u);
  EXPECT_TRUE(served.NodesOf(2).empty());
  served.Set(8, {});
  EXPECT_FALSE(served.any());
}

// One history told to both: the plain model is right.
class Pair {
 public:
  explicit Pair(uint64_t seed) : random_(seed), index_(*MemoryIndex::Create({.seed = seed})) {
    tiers_.Set("cpu", 0.75);  // sums of these are exact in any order
  }

  void Step() {
    const auto pod = static_cast<PodId>(random_.Below(12));
    const uint64_t what = random_.Below(10);
    if (what == 0) {
      List(pod);
    } else if (what == 1) {
      Group(pod);
    } else {
      Copy(pod, what < 8);
    }
  }
  void Compare() {
    ScoreRequest request;
    request.keys = kKeys;
    request.filter = random_.Chance(1, 3);
    const std::vector<PodId> only = {1, 4, 9};
    if (request.filter) request.pods = only;
    const auto expected = model_.Score(request, tiers_, groups_);
    std::vector<PodScore> scores;
    scorer_.Score(request, &scores);
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      EXPECT_EQ(scores[i].pod, expected[i].pod);
      EXPECT_DOUBLE_EQ(scores[i].score, expected[i].score);
      EXPECT_EQ(scores[i].blocks, expected[i].blocks);
    }
    scored_ += scores.size();
  }
  size_t scored() const { return scored_; }

 private:
  inline static const std::vector<RequestKey> kKeys = {11, 12, 13, 14, 15, 16};

  void List(PodId node) {
    std::vector<PodId> pods;
    // Some of them never hold anything themselves.
    for (size_t n = random_.Below(4); n > 0; --n) {
      pods.push_back(static_cast<PodId>(random_.Below(16)));
    }
    std::erase(pods, node);
    scorer_.SetServed(node, pods);
    model_.served[node] = {pods.begin(), pods.end()};
  }
  void Group(PodId pod) {
    std::vector<GroupSpec> specs;
    if (random_.Chance(1, 2)) specs = {{0, GroupRule::kFull, 0}, {1, GroupRule::kWindow, 33}};
    scorer_.SetGroups(pod, specs);
    groups_[pod] = specs;
    if (specs.empty()) groups_.erase(pod);
  }
  void Copy(PodId pod, bool store) {
    const auto tier = static_cast<uint8_t>(random_.Below(3));
    const auto group = static_cast<int16_t>(random_.Below(3)) - 1;
    const HolderInfo info{pod, tier, static_cast<int16_t>(group), false};
    const size_t first = random_.Below(kKeys.size());
    const auto keys = std::span(kKeys).subspan(first, random_.Below(kKeys.size() - first) + 1);
    const HolderId real = index_->AddHolder(info);
    const HolderId plain = model_.AddHolder(info);
    if (store) {
      index_->Add(real, {}, keys);
      model_.Add(plain, {}, keys);
    } else {
      EXPECT_EQ(index_->RemoveKeys(real, keys), model_.RemoveKeys(plain, keys));
    }
  }

  Random random_;
  TierTable tiers_;
  std::unique_ptr<MemoryIndex> index_;
  Scorer scorer_{index_.get(), &tiers_};
  ModelIndex model_;
  std::map<PodId, std::vector<GroupSpec>> groups_;
  size_t scored_ = 0;
};

TEST(ServedPods, ScoreAsThePlainModel) {
  size_t scored = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Pair pair(seed);
    for (int step = 0; step < 400; ++step) {
      pair.Step();
      ASSERT_NO_FATAL_FAILURE(pair.Compare()) << seed << " " << step;
    }
    scored += pair.scored();
  }
  EXPECT_GT(scored, 4000u);
}

}  // namespace
}  // namespace headrace::indexer
