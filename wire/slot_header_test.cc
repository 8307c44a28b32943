#include "wire/slot_header.h"

#include <gtest/gtest.h>

#include <random>

namespace headrace::wire {
namespace {

SlotHeader RandomHeader(uint64_t seed) {
  std::mt19937_64 random(seed);
  SlotHeader header;
  auto* const bytes = reinterpret_cast<uint8_t*>(&header);
  for (size_t i = 0; i < sizeof(header); ++i) bytes[i] = static_cast<uint8_t>(random());
  return header;
}

TEST(SlotHeader, HoldsOnceSealed) {
  SlotHeader header = RandomHeader(5);
  EXPECT_FALSE(HeaderHolds(header));
  SealHeader(&header);
  EXPECT_TRUE(HeaderHolds(header));
}

TEST(SlotHeader, HoldsWhateverItsState) {
  SlotHeader header = RandomHeader(6);
  SealHeader(&header);
  for (const SlotState state : {SlotState::kFree, SlotState::kFilling, SlotState::kComplete}) {
    StoreState(&header, state);
    EXPECT_EQ(LoadState(header), state);
    EXPECT_TRUE(HeaderHolds(header));
  }
}

TEST(SlotHeader, DoesNotHoldAfterAnyBitBeyondTheStateFlips) {
  SlotHeader header = RandomHeader(7);
  SealHeader(&header);
  auto* const bytes = reinterpret_cast<uint8_t*>(&header);
  for (size_t bit = 8 * offsetof(SlotHeader, header_check); bit < 8 * sizeof(header); ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(HeaderHolds(header)) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  EXPECT_TRUE(HeaderHolds(header));
}

TEST(SlotHeader, SealsWithTheLowBitsOfXxh3) {
  // Golden: python's xxhash 0.8.4 over 120 zero bytes, and over the bytes 8, 9, ... 127.
  SlotHeader header{};
  SealHeader(&header);
  EXPECT_EQ(header.header_check, 0x9bd33352u);
  auto* const bytes = reinterpret_cast<uint8_t*>(&header);
  for (size_t i = 8; i < sizeof(header); ++i) bytes[i] = static_cast<uint8_t>(i);
  SealHeader(&header);
  EXPECT_EQ(header.header_check, 0x9c11e164u);
}

}  // namespace
}  // namespace headrace::wire
