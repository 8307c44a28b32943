#include "indexer/fleet_index.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "indexer/fleet_samples.h"

namespace headrace::indexer {
namespace {

TEST(FleetIndex, ScoresPodsByNameBestFirst) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "b", Counting(8));
  Store(fleet.get(), "a", Counting(16));
  Store(fleet.get(), "c", Counting(8), "CPU");
  const auto scores = fleet->Score(KeysOf(Counting(18)), {});
  ASSERT_EQ(scores.size(), 3u);
  EXPECT_EQ(scores[0].pod, "a");
  EXPECT_EQ(scores[0].score, 4);
  EXPECT_EQ(scores[0].normalized, 1);
  EXPECT_EQ(scores[0].blocks, 4u);
  EXPECT_EQ(scores[1].pod, "b");
  EXPECT_EQ(scores[1].score, 2);
  EXPECT_EQ(scores[1].normalized, 0.5);
  EXPECT_EQ(scores[2].pod, "c");
  EXPECT_EQ(scores[2].score, 1.6);
  EXPECT_EQ(fleet->score_counters().requests, 1u);
  EXPECT_EQ(fleet->score_counters().keys_hit, 4u);
}

TEST(FleetIndex, ScoresOnlyThePodsAskedFor) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(8));
  Store(fleet.get(), "b", Counting(8));
  const std::vector<std::string> only = {"b", "nobody"};
  const auto scores = fleet->Score(KeysOf(Counting(8)), only);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].pod, "b");
  const std::vector<std::string> nobody = {"nobody"};
  EXPECT_TRUE(fleet->Score(KeysOf(Counting(8)), nobody).empty());
}

TEST(FleetIndex, FlagsPodsWhoseEventsHaveAGap) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(8));
  fleet->pods()->SetUncertain(*fleet->pods()->Find("a"), true);
  EXPECT_TRUE(fleet->Score(KeysOf(Counting(8)), {}).at(0).uncertain);
}

TEST(FleetIndex, WeighsTiersAsConfigured) {
  std::string message;
  const auto fleet = FleetIndex::Create(
      {.hash = SampleHash(), .weights = {{.name = "cpu", .weight = 0.25}}}, &message);
  ASSERT_TRUE(fleet);
  Store(fleet->get(), "a", Counting(8), "cpu");
  EXPECT_EQ((*fleet)->Score(KeysOf(Counting(8)), {}).at(0).score, 0.5);
}

TEST(FleetIndex, ScoresAsLlmdDoesForANodeAndThePodsItServes) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "node", Counting(8));
  const std::vector<std::string_view> pods = {"p"};
  fleet->pods()->Serve(*fleet->pods()->Find("node"), Digest::NameSpaceOf("m"), pods);
  const std::vector<std::string> only = {"p"};
  EXPECT_EQ(fleet->Score(KeysOf(Counting(8)), only).at(0).score, 2);
}

TEST(FleetIndex, FindsABlockByItsKeyAndByAnEnginesHash) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(8));
  Store(fleet.get(), "b", Counting(4), "CPU");
  const auto keys = KeysOf(Counting(8));
  const auto block = fleet->Block(keys[0]);
  ASSERT_TRUE(block);
  EXPECT_EQ(block->holders.size(), 2u);
  EXPECT_FALSE(fleet->Block(keys[0] + 1));
  const auto named = fleet->BlocksOf("m", 102);
  ASSERT_EQ(named.size(), 1u);
  EXPECT_EQ(named[0].key, keys[1]);
  ASSERT_EQ(named[0].holders.size(), 1u);
  EXPECT_EQ(named[0].holders[0].pod, "a");
  EXPECT_EQ(named[0].holders[0].tier, "gpu");
  EXPECT_TRUE(fleet->BlocksOf("other", 102).empty());
}

TEST(FleetIndex, ShowsAllBlocksPageByPage) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(40));
  std::vector<RequestKey> seen;
  uint64_t cursor = 0;
  size_t pages = 0;
  do {
    for (const NamedBlock& block : fleet->Page(cursor, 4, &cursor)) seen.push_back(block.key);
    ++pages;
  } while (cursor != 0);
  auto keys = KeysOf(Counting(40));
  std::sort(keys.begin(), keys.end());
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, keys);
  EXPECT_EQ(pages, 3u);
}

TEST(FleetIndex, ForgetsAPodAtOnce) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(8));
  EXPECT_TRUE(fleet->RemovePod("a"));
  EXPECT_FALSE(fleet->RemovePod("a"));
  EXPECT_TRUE(fleet->Score(KeysOf(Counting(8)), {}).empty());
  uint64_t next = 0;
  EXPECT_TRUE(fleet->Page(0, 100, &next).empty());
}

TEST(FleetIndex, NamesTheKeyOfWhatIsWrong) {
  std::string message;
  EXPECT_FALSE(FleetIndex::Create({.hash = SampleHash(), .memory_budget_bytes = 1}, &message));
  EXPECT_EQ(message.find("kvBlockIndexConfig.costAwareMemoryConfig.size: "), 0u) << message;
  auto hash = SampleHash();
  hash.block_tokens = 0;
  EXPECT_FALSE(FleetIndex::Create({.hash = hash}, &message));
  EXPECT_EQ(message.find("tokenProcessorConfig: "), 0u) << message;
}

TEST(FleetIndex, BelievesAnAnnouncementForItsTime) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(4));
  const auto keys = KeysOf(Counting(8));
  const Time now = Time() + seconds(1);
  ASSERT_TRUE(fleet->Announce({.pod = "a", .tier = "", .keys = keys, .ttl = seconds(2)}, now));
  EXPECT_EQ(fleet->Score(keys, {}).at(0).score, 2);
  EXPECT_TRUE(fleet->Block(keys[1])->holders.at(0).speculative);
  fleet->digest()->Tick(now + seconds(1));
  EXPECT_EQ(fleet->Score(keys, {}).at(0).score, 2);
  fleet->digest()->Tick(now + seconds(2));
  EXPECT_EQ(fleet->Score(keys, {}).at(0).score, 1);
}

TEST(FleetIndex, KeepsItsOwnPartOfASplitIndex) {
  const auto keys = KeysOf(Counting(16));
  size_t kept = 0;
  uint64_t foreign = 0;
  for (size_t self : {0, 1}) {
    const ReplicaPlace place = PlaceOf(self);
    const auto fleet = MakeFleet(place);
    Store(fleet.get(), "a", Counting(16));
    const double expected = place.Elsewhere(keys) == nullptr ? 4 : 1;  // of others: the stem
    EXPECT_EQ(fleet->Score(keys, {}).at(0).score, expected);
    kept += fleet->index()->stats().blocks;
    foreign += fleet->foreign_blocks();
  }
  EXPECT_EQ(kept, 5u);
  EXPECT_EQ(foreign, 3u);
}

TEST(FleetIndex, AnnouncesOnlyToPodsThatItKnowsOrExpects) {
  const auto fleet = MakeFleet();
  const auto keys = KeysOf(Counting(4));
  const FleetIndex::Intent intent{.pod = "new", .tier = "cpu", .keys = keys, .ttl = seconds(1)};
  EXPECT_EQ(fleet->Announce(intent, Time()).error().code, Errc::kNotFound);
  EXPECT_FALSE(fleet->pods()->Find("new"));
  fleet->Expect({"new"});
  ASSERT_TRUE(fleet->Announce(intent, Time()));
  EXPECT_EQ(fleet->Score(keys, {}).at(0).score, 0.8);
}

}  // namespace
}  // namespace headrace::indexer
