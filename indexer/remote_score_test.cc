#include "indexer/remote_score.h"

#include <gtest/gtest.h>

#include "indexer/remote_names.h"

namespace headrace::indexer {
namespace {

RemoteScoreRequest Asking(uint32_t keys) {
  RemoteScoreRequest request;
  for (RequestKey key = 1; key <= keys; ++key) request.keys.push_back(key);
  return request;
}

std::map<std::string, double> Scores(const std::vector<HolderRun>& runs,
                                     RemoteScoreRequest request = {},
                                     const RemoteRulesByPod& rules = {}) {
  if (request.keys.empty()) {
    uint32_t keys = 0;
    for (const HolderRun& run : runs) keys += run.keys;
    request.keys = Asking(keys).keys;
  }
  std::map<std::string, double> scores;
  for (const RemoteScore& score : RemoteScorer(TierTable(), 1).Score(runs, request, rules)) {
    scores[score.pod] = score.score;
  }
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
  const auto scores = Scores({{{{"a", "tape"}, {"b", "remote"}}, 1}});
  EXPECT_LT(scores.at("a"), scores.at("b"));
  EXPECT_GT(scores.at("a"), 0);
}

TEST(RemoteScore, FiltersPods) {
  RemoteScoreRequest request = Asking(2);
  request.filter = true;
  request.pods = {"b", "x"};
  EXPECT_EQ(Scores({{{{"a"}, {"b"}}, 2}}, request), (Map{{"b", 2}}));
  request.pods.clear();
  EXPECT_EQ(Scores({{{{"a"}, {"b"}}, 2}}, request), Map());
}

TEST(RemoteScore, NormalizesByWhatWasAsked) {
  const auto scores = RemoteScorer(TierTable(), 1).Score({{{{"a"}}, 2}}, Asking(4), {});
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_DOUBLE_EQ(scores[0].normalized, 0.5);
  EXPECT_EQ(scores[0].blocks, 2u);
}

TEST(RemoteScore, WhatANodeHoldsCountsForThePodsOfItsList) {
  const RemoteRulesByPod rules = {{"node", {.serves = {"a", "b"}, .serve_space = 7}}};
  // `a` goes on in the node's blocks and comes back; `b` holds nothing itself.
  EXPECT_EQ(
      Scores({{{{"a"}}, 2}, {{{"node", "cpu"}}, 2}, {{{"a"}, {"node", "cpu"}}, 1}}, {}, rules),
      (Map{{"a", 2 + 1.6 + 1}}));
  EXPECT_EQ(Scores({{{{"node", "cpu"}}, 5}}, {}, rules), (Map{{"a", 4}, {"b", 4}, {"node", 4}}));
}

TEST(RemoteScore, ANodeServesTheRanksOfItsNameSpace) {
  const RemoteRulesByPod rules = {{"node", {.serves = {"a"}, .serve_space = 0x1f}}};
  const std::string rank = MemberName("a", 0x1f, 1);
  const std::string other = MemberName("a", 0x2f, 1);
  const std::string strange = MemberName("b", 0x1f, 1);
  const auto scores = Scores({{{{rank}, {other}, {strange}}, 1}, {{{"node"}}, 1}}, {}, rules);
  EXPECT_EQ(scores, (Map{{rank, 2}, {other, 1}, {strange, 1}}));
}

TEST(RemoteScore, WindowsAreCheckedAndGapsThatNoneNeedsAreSkipped) {
  const RemoteRulesByPod rules = {
      {"w", {.groups = {{.group = 0, .rule = GroupRule::kWindow, .window_tokens = 5}}}},
      {"h", {.groups = {{.group = 0}, {.group = 1, .rule = GroupRule::kState}}}}};
  RemoteScoreRequest request = Asking(4);
  request.key_tokens = 4;  // a window is one key
  const RemoteHolder window{"w", "gpu", 0, false};
  const RemoteHolder full{"h", "gpu", 0, false};
  const RemoteHolder state{"h", "gpu", 1, false};
  const std::vector<HolderRun> runs = {{{full}, 1}, {{full, state}, 1}, {{full}, 1}, {{window}, 1}};
  EXPECT_EQ(Scores(runs, request, rules), (Map{{"w", 4}, {"h", 2}}));
  EXPECT_EQ(Scores(runs, request), (Map{{"h", 3}}));
}

}  // namespace
}  // namespace headrace::indexer
