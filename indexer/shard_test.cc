#include "indexer/shard.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace headrace::indexer {
namespace {

ShardMap MakeMap(std::vector<std::string> replicas, uint32_t first_blocks = 4) {
  auto map = ShardMap::Create({.replicas = std::move(replicas), .first_blocks = first_blocks});
  HR_CHECK(map.has_value());
  return std::move(*map);
}

TEST(ShardMap, DecidesByTheKeyBehindTheStem) {
  const ShardMap map = MakeMap({"a", "b", "c", "d"});
  Random random(1);
  size_t moved = 0;
  for (int round = 0; round < 1000; ++round) {
    std::vector<uint64_t> keys = {1, 2, 3, random.Next(), random.Next(), random.Next()};
    const size_t owner = map.OwnerOf(keys);
    EXPECT_EQ(owner, map.OwnerOfKey(keys[3]));
    keys[0] = random.Next();
    keys[4] = random.Next();
    EXPECT_EQ(map.OwnerOf(keys), owner);
    keys[3] = random.Next();
    if (map.OwnerOf(keys) != owner) ++moved;
  }
  EXPECT_GT(moved, 600u);
  EXPECT_TRUE(map.InStem(2));
  EXPECT_FALSE(map.InStem(3));
}

// These owners are what every other program computes: they never change.
TEST(ShardMap, OwnersAreTheSameEverywhere) {
  const ShardMap map = MakeMap({"index-0:9091", "index-1:9091", "index-2:9091", "index-3:9091"});
  std::string owners;
  for (uint64_t key = 1; key <= 32; ++key) owners += static_cast<char>('0' + map.OwnerOfKey(key));
  EXPECT_EQ(owners, "11301213120000030321123323212032");
}

TEST(ShardMap, SpreadsKeysEvenly) {
  const ShardMap map = MakeMap({"a", "b", "c", "d", "e"});
  std::vector<size_t> owned(map.size());
  for (uint64_t key = 0; key < 100000; ++key) ++owned[map.OwnerOfKey(key)];
  for (const size_t count : owned) {
    EXPECT_GT(count, 19000u);
    EXPECT_LT(count, 21000u);
  }
}

TEST(ShardMap, OneReplicaMoreMovesOnlyWhatItWins) {
  const ShardMap before = MakeMap({"a", "b", "c"});
  const ShardMap after = MakeMap({"d", "c", "a", "b"});
  size_t won = 0;
  for (uint64_t key = 0; key < 10000; ++key) {
    const std::string& owner = after.name(after.OwnerOfKey(key));
    if (owner == "d") {
      ++won;
    } else {
      EXPECT_EQ(owner, before.name(before.OwnerOfKey(key)));
    }
  }
  EXPECT_GT(won, 2300u);
  EXPECT_LT(won, 2700u);
}

TEST(ShardMap, NobodyButTheOwnerIsAskedForASplitPrompt) {
  const ShardMap map = MakeMap({"a", "b", "c"}, 2);
  std::vector<size_t> ask = {7, 7};
  map.Ask(std::vector<uint64_t>{11, 12}, &ask);
  EXPECT_EQ(ask, std::vector<size_t>{map.OwnerOfKey(12)});
  map.Ask(std::vector<uint64_t>{11, 12, 13}, &ask);
  EXPECT_EQ(ask, std::vector<size_t>{map.OwnerOfKey(12)});
}

TEST(ShardMap, AnyReplicaAnswersForAStemAndWhenNothingIsSplit) {
  for (const ShardMap& map : {MakeMap({"a", "b", "c"}, 2), MakeMap({"a", "b", "c"}, 0)}) {
    for (const std::vector<uint64_t>& keys : {std::vector<uint64_t>{11}, std::vector<uint64_t>{}}) {
      std::vector<size_t> ask;
      map.Ask(keys, &ask);
      ASSERT_EQ(ask.size(), 3u);
      EXPECT_EQ(ask.front(), map.OwnerOf(keys));
      std::ranges::sort(ask);
      EXPECT_EQ(ask, (std::vector<size_t>{0, 1, 2}));
    }
  }
  std::vector<size_t> ask;
  const ShardMap whole = MakeMap({"a", "b", "c"}, 0);
  whole.Ask(std::vector<uint64_t>{1, 2, 3, 4, 5, 6}, &ask);
  EXPECT_EQ(ask.size(), 3u);
  EXPECT_TRUE(whole.whole());
  EXPECT_FALSE(whole.InStem(0));
}

TEST(ShardMap, RefusesListsThatNameNobodyOrSomebodyTwice) {
  const auto code = [](ShardMap::Options options) {
    const auto map = ShardMap::Create(std::move(options));
    return map ? Errc::kOk : map.error().code;
  };
  EXPECT_EQ(code({.replicas = {}}), Errc::kInvalid);
  EXPECT_EQ(code({.replicas = {"a", ""}}), Errc::kInvalid);
  EXPECT_EQ(code({.replicas = {"a", "b", "a"}}), Errc::kInvalid);
  EXPECT_EQ(code({.replicas = {std::string(513, 'a')}}), Errc::kLimit);
  EXPECT_EQ(code({.replicas = std::vector<std::string>(1025, "a")}), Errc::kLimit);
  EXPECT_EQ(code({.replicas = {"a"}, .first_blocks = 65}), Errc::kLimit);
  EXPECT_EQ(code({.replicas = {"a"}, .first_blocks = 64}), Errc::kOk);
}

}  // namespace
}  // namespace headrace::indexer
