#include "sim/random_length.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace headrace::sim {

namespace {

constexpr int kDraws = 100'000;

std::map<uint32_t, int> DrawUpTo(uint32_t max) {
  Random random(5);
  std::map<uint32_t, int> seen;
  for (int i = 0; i < kDraws; ++i) ++seen[LengthUpTo(max, &random)];
  return seen;
}

// Percent of the draws that are from `low` to `high`.
double Percent(const std::map<uint32_t, int>& seen, uint32_t low, uint32_t high) {
  double count = 0;
  for (auto it = seen.lower_bound(low); it != seen.end() && it->first <= high; ++it) {
    count += it->second;
  }
  return 100 * count / kDraws;
}

TEST(LengthUpTo, OfOneIsOne) {
  Random random(1);
  EXPECT_EQ(LengthUpTo(0, &random), 0u);
  EXPECT_EQ(LengthUpTo(1, &random), 1u);
}

TEST(LengthUpTo, OfALowLimitIsUniform) {
  const auto seen = DrawUpTo(6);
  ASSERT_EQ(seen.size(), 6u);
  for (uint32_t length = 1; length <= 6; ++length) {
    EXPECT_NEAR(Percent(seen, length, length), 100.0 / 6, 1) << length;
  }
}

TEST(LengthUpTo, SplitsTheLowestLimitWithBuckets) {
  const auto seen = DrawUpTo(7);
  EXPECT_NEAR(Percent(seen, 1, 1), 20, 1);
  EXPECT_NEAR(Percent(seen, 2, 2), 30, 1);
  EXPECT_NEAR(Percent(seen, 3, 3), 20, 1);
  EXPECT_NEAR(Percent(seen, 4, 4), 5, 1);
  EXPECT_NEAR(Percent(seen, 5, 6), 10, 1);
  EXPECT_NEAR(Percent(seen, 7, 7), 15, 1);
}

TEST(LengthUpTo, HasEqualBucketsUpToOneHundredAndOne) {
  const auto seen = DrawUpTo(101);
  EXPECT_EQ(seen.begin()->first, 1u);
  EXPECT_EQ(seen.rbegin()->first, 101u);
  EXPECT_EQ(seen.size(), 101u);
  const double percent[] = {20, 30, 20, 5, 10};
  for (uint32_t bucket = 0; bucket < 5; ++bucket) {
    EXPECT_NEAR(Percent(seen, 20 * bucket + 1, 20 * bucket + 20), percent[bucket], 1) << bucket;
  }
  EXPECT_NEAR(Percent(seen, 101, 101), 15, 1);
}

TEST(LengthUpTo, HasEqualBucketsNoMoreBeyond) {
  const auto seen = DrawUpTo(102);
  EXPECT_NEAR(Percent(seen, 1, 20), 20, 1);
  EXPECT_NEAR(Percent(seen, 81, 81), 5.0 / 21, 0.1) << "the fourth has one length more";
  EXPECT_NEAR(Percent(seen, 82, 101), 10, 1);
  EXPECT_NEAR(Percent(DrawUpTo(150), 1, 20), 20, 1);
}

TEST(LengthUpTo, StretchesTheFourthBucketOfAHighLimit) {
  const auto seen = DrawUpTo(1000);
  EXPECT_NEAR(Percent(seen, 1, 20), 20, 1);
  EXPECT_NEAR(Percent(seen, 21, 40), 30, 1);
  EXPECT_NEAR(Percent(seen, 41, 60), 20, 1);
  EXPECT_NEAR(Percent(seen, 61, 979), 5, 1);
  EXPECT_NEAR(Percent(seen, 980, 999), 10, 1);
  EXPECT_NEAR(Percent(seen, 1000, 1000), 15, 1);
  EXPECT_NEAR(Percent(seen, 500, 979), 2.6, 0.5) << "its lengths are as likely as each other";
  EXPECT_EQ(seen.begin()->first, 1u);
  EXPECT_EQ(seen.rbegin()->first, 1000u);
}

TEST(LengthWithin, OfANarrowRoomIsUniform) {
  Random random(5);
  std::map<uint32_t, int> seen;
  for (int i = 0; i < kDraws; ++i) ++seen[LengthWithin(19, &random)];
  ASSERT_EQ(seen.size(), 19u);
  for (uint32_t length = 1; length <= 19; ++length) {
    EXPECT_NEAR(Percent(seen, length, length), 100.0 / 19, 1) << length;
  }
  EXPECT_EQ(LengthWithin(0, &random), 0u);
  EXPECT_EQ(LengthWithin(1, &random), 1u);
}

TEST(LengthWithin, OfAWideRoomIsNormal) {
  Random random(5);
  double sum = 0, squares = 0;
  uint32_t lowest = UINT32_MAX, highest = 0;
  for (int i = 0; i < kDraws; ++i) {
    const uint32_t length = LengthWithin(10000, &random);
    sum += length;
    squares += static_cast<double>(length) * length;
    lowest = std::min(lowest, length);
    highest = std::max(highest, length);
  }
  const double mean = sum / kDraws;
  EXPECT_NEAR(mean, 40.6, 1) << "a little above 40: nothing is below 1";
  EXPECT_NEAR(std::sqrt(squares / kDraws - mean * mean), 19.3, 1);
  EXPECT_EQ(lowest, 1u);
  EXPECT_GT(highest, 100u);
}

TEST(LengthWithin, NeverLeavesItsRoom) {
  Random random(5);
  std::map<uint32_t, int> seen;
  for (int i = 0; i < kDraws; ++i) ++seen[LengthWithin(20, &random)];
  EXPECT_EQ(seen.begin()->first, 1u);
  EXPECT_EQ(seen.rbegin()->first, 20u);
  EXPECT_GT(seen[20], 3 * seen[1]) << "the flank of a normal distribution rises towards its mean";
}

}  // namespace

}  // namespace headrace::sim
