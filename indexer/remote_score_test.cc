#include "indexer/remote_score.h"

#include <gtest/gtest.h>

namespace headrace::indexer {
namespace {

std::map<std::string, double> Scores(const std::vector<HolderRun>& runs,
                                     RemoteScoreRequest request = {}) {
  if (request.keys.empty()) {
    for (const HolderRun& run : runs) request.keys.resize(request.keys.size() + run.keys);
  }
  std::map<std::string, double> scores;
  for (const RemoteScore& score : ScoreRuns(runs, request, {})) scores[score.pod] = score.score;
  return scores;
}

using Map = std::map<std::string, double>;

TEST(RemoteScore, SumsTheWeightsOfAPrefix) {
  EXPECT_EQ(Scores({{{{"a"}}, 3}}), (Map{{"a", 3}}));
  EXPECT_EQ(Scores({{{{"a"}, {"b"}}, 2}, {{{"a"}}, 1}}), (Map{{"a", 3}, {"b", 2}}));
}

TEST(RemoteScore, TakesTheBestTierOfABlock) {
  EXPECT_DOUBLE_EQ(Scores({{{{"a", "cpu"}, {"a", "gpu"}}, 1}, {{{"a", "cpu"}}, 1}})["a"], 1.8);
}

TEST(RemoteScore, APodThatMissesABlockIsOutForGood) {
  EXPECT_EQ(Scores({{{{"a"}, {"b"}}, 1}, {{{"a"}}, 1}, {{{"a"}, {"b"}}, 4}}),
            (Map{{"a", 6}, {"b", 1}}));
}

TEST(RemoteScore, APodWithoutTheFirstBlockHasNoScore) {
  EXPECT_EQ(Scores({{{{"a"}}, 1}, {{{"b"}}, 1}}), (Map{{"a", 1}}));
}

TEST(RemoteScore, AnUnknownTierIsBelowTheLowest) {
  const RemoteWeights weights;
  EXPECT_LT(weights.Of("tape"), weights.Of("remote"));
  EXPECT_EQ(weights.highest(), 1.0);
}

TEST(RemoteScore, FiltersPods) {
  RemoteScoreRequest request;
  request.keys = {1, 2};
  request.filter = true;
  request.pods = {"b", "x"};
  EXPECT_EQ(Scores({{{{"a"}, {"b"}}, 2}}, request), (Map{{"b", 2}}));
  request.pods.clear();
  EXPECT_EQ(Scores({{{{"a"}, {"b"}}, 2}}, request), Map());
}

TEST(RemoteScore, NormalizesByWhatWasAsked) {
  RemoteScoreRequest request;
  request.keys = {1, 2, 3, 4};
  const auto scores = ScoreRuns({{{{"a"}}, 2}}, request, {});
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_DOUBLE_EQ(scores[0].normalized, 0.5);
  EXPECT_EQ(scores[0].blocks, 2u);
}

}  // namespace
}  // namespace headrace::indexer
