#include "indexer/index_numbers.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "indexer/fleet_samples.h"

namespace headrace::indexer {
namespace {

TEST(IndexNumbers, TellOfTheIndexAndEachPod) {
  const auto fleet = MakeFleet();
  Store(fleet.get(), "a", Counting(8));
  Store(fleet.get(), "b\xff", Counting(4));
  const StreamNumbers streams = {{*fleet->pods()->Find("a"), {.gaps = 3, .lost = 1}}};
  IndexNumbers numbers = NumbersOf(fleet.get(), streams, Time() + seconds(3));
  EXPECT_EQ(numbers.taken, Time() + seconds(3));
  numbers.sources.streams.gaps = 2;
  const auto json = nlohmann::json::parse(StatsBody(numbers));
  EXPECT_EQ(json["blocks"], 2);
  EXPECT_GT(json["bytes"], 0);
  ASSERT_EQ(json["pods"].size(), 2u);
  EXPECT_EQ(json["pods"][0]["pod"], "a");
  EXPECT_EQ(json["pods"][0]["state"], "live");
  EXPECT_EQ(json["pods"][0]["stored_blocks"], 2);
  EXPECT_EQ(json["pods"][0]["gaps"], 3);
  EXPECT_EQ(json["pods"][0]["lost"], 1);
  EXPECT_EQ(json["pods"][1]["gaps"], 0);
  EXPECT_EQ(json["pods"][1]["pod"], "b\xef\xbf\xbd");
  EXPECT_EQ(json["sources"]["gaps"], 2);
}

}  // namespace
}  // namespace headrace::indexer
