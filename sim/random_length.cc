#include "sim/random_length.h"

#include <array>
#include <cmath>

#include "base/result.h"
#include "sim/normal.h"

namespace headrace::sim {

namespace {

// Percent of the answers whose length is in each of the buckets; the rest has exactly the limit.
constexpr std::array<uint32_t, 5> kBucketPercent = {20, 30, 20, 5, 10};
constexpr uint32_t kBuckets = kBucketPercent.size();
constexpr uint32_t kStretchedBucket = 3;  // takes what the others of a high limit leave
constexpr uint32_t kBucketWidth = 20;     // of a high limit
constexpr uint32_t kHighLimit = kBuckets * kBucketWidth + 1;
constexpr uint32_t kLowLimit = 6;  // all lengths are as likely

constexpr double kMeanLength = 40;
constexpr double kLengthDeviation = 20;
constexpr uint32_t kNarrowRoom = 20;  // all lengths are as likely

// The lengths below `max` are split among the buckets.
uint32_t BucketEnd(uint32_t bucket, uint32_t max) {
  if (max <= kHighLimit) return (max - 1) * (bucket + 1) / kBuckets;
  if (bucket < kStretchedBucket) return (bucket + 1) * kBucketWidth;
  return max - 1 - (kBuckets - 1 - bucket) * kBucketWidth;
}

}  // namespace

uint32_t LengthUpTo(uint32_t max, Random* random) {
  if (max <= 1) return max;
  if (max <= kLowLimit) return static_cast<uint32_t>(random->Between(1, max));
  auto percent = static_cast<uint32_t>(random->Below(100));
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
    if (percent < kBucketPercent[bucket]) {
      const uint32_t begin = bucket == 0 ? 1 : BucketEnd(bucket - 1, max) + 1;
      return static_cast<uint32_t>(random->Between(begin, BucketEnd(bucket, max)));
    }
    percent -= kBucketPercent[bucket];
  }
  return max;
}

uint32_t LengthWithin(uint32_t room, Random* random) {
  if (room <= 1) return room;
  if (room < kNarrowRoom) return static_cast<uint32_t>(random->Between(1, room));
  while (true) {  // the narrowest room accepts a draw of seven
    const double length = std::floor(Normal(random, kMeanLength, kLengthDeviation));
    if (length >= 1 && length <= room) return static_cast<uint32_t>(length);
  }
}

}  // namespace headrace::sim
