#include "sim/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::sim {

namespace {

using testing::ElementsAre;

std::vector<std::string> Names(const LoraTable& table) {
  std::vector<std::string> names;
  for (const LoraAdapter& adapter : table.List()) names.push_back(adapter.name);
  return names;
}

TEST(LoraTable, ListsInTheOrderOfLoading) {
  LoraTable table(1);
  table.Load({"z", "/z"});
  table.Load({"a", "/a"});
  table.Load({"m", "/m"});
  EXPECT_THAT(Names(table), ElementsAre("z", "a", "m"));
  table.Load({"a", "/new"});
  EXPECT_THAT(Names(table), ElementsAre("z", "a", "m"));
  EXPECT_EQ(table.Find("a")->path, "/new");
  EXPECT_TRUE(table.Unload("a"));
  EXPECT_FALSE(table.Unload("a"));
  EXPECT_EQ(table.Find("a"), nullptr);
  EXPECT_THAT(Names(table), ElementsAre("z", "m"));
}

TEST(LoraTable, RefusesMoreThanItsLimit) {
  LoraTable table(1);
  for (size_t i = 0; i < kMaxLoraAdapters; ++i) ASSERT_TRUE(table.Load({std::to_string(i), ""}));
  EXPECT_FALSE(table.Load({"one more", ""}));
  EXPECT_TRUE(table.Load({"7", "/changed"}));
}

TEST(LoraTable, GivesRequestsOfOneAdapterTheSameSlot) {
  LoraTable table(2);
  EXPECT_EQ(table.Take("a"), 1u);
  EXPECT_EQ(table.Take("b"), 2u);
  EXPECT_EQ(table.Take("a"), 1u);
  EXPECT_THAT(table.running(), ElementsAre("a", "b"));
}

TEST(LoraTable, LetsAnotherAdapterWaitWhileAllSlotsAreUsed) {
  LoraTable table(1);
  table.Load({"a", ""});
  ASSERT_TRUE(table.Take("a"));
  ASSERT_TRUE(table.Take("a"));
  table.Give("a");
  EXPECT_FALSE(table.CanTake("b"));
  EXPECT_EQ(table.Take("b"), std::nullopt);
  EXPECT_TRUE(table.CanTake("a"));
  table.Give("a");
  EXPECT_TRUE(table.running().empty());
  EXPECT_TRUE(table.HasSlot("a"));
  EXPECT_TRUE(table.CanTake("b"));
  EXPECT_EQ(table.Take("b"), 1u);
  EXPECT_FALSE(table.HasSlot("a"));
}

TEST(LoraTable, ReplacesTheOneThatIsUnusedForLongest) {
  LoraTable table(2);
  table.Load({"a", ""});
  table.Load({"b", ""});
  table.Take("a");
  table.Take("b");
  table.Give("b");
  table.Give("a");
  EXPECT_EQ(table.Take("c"), 2u);
  EXPECT_EQ(table.Take("a"), 1u);
}

TEST(LoraTable, PrefersAFreeSlotToAnUnusedOne) {
  LoraTable table(2);
  table.Load({"a", ""});
  table.Take("a");
  table.Give("a");
  EXPECT_EQ(table.Take("b"), 2u);
  EXPECT_EQ(table.Take("a"), 1u);
}

TEST(LoraTable, FreesTheSlotOfWhatIsUnloadedInFlightWithItsLastRequest) {
  LoraTable table(1);
  table.Load({"a", ""});
  table.Take("a");
  table.Take("a");
  EXPECT_TRUE(table.Unload("a"));
  EXPECT_THAT(table.running(), ElementsAre("a"));
  table.Give("a");
  EXPECT_FALSE(table.CanTake("b"));
  table.Give("a");
  EXPECT_FALSE(table.HasSlot("a"));
  EXPECT_EQ(table.Take("b"), 1u);
}

TEST(LoraTable, FreesTheSlotOfWhatIsUnloadedUnused) {
  LoraTable table(2);
  table.Load({"a", ""});
  table.Take("a");
  table.Give("a");
  table.Unload("a");
  EXPECT_FALSE(table.HasSlot("a"));
}

TEST(LoraTable, KeepsTheSlotOfWhatIsLoadedAgainMeanwhile) {
  LoraTable table(1);
  table.Load({"a", "/old"});
  table.Take("a");
  table.Unload("a");
  table.Load({"a", "/new"});
  table.Give("a");
  EXPECT_TRUE(table.HasSlot("a"));
}

TEST(LoraTableDeathTest, WantsBackOnlyWhatWasTaken) {
  LoraTable table(1);
  EXPECT_DEATH(table.Give("a"), "found");
}

}  // namespace

}  // namespace headrace::sim
