#include "engine/chain_sum.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

TEST(ChainSum, OfAListIsTheSumOfItsTerms) {
  const ChainSum sum(5);
  const Chain chain(1, 50);
  uint64_t total = 0;
  for (uint32_t i = 0; i < 50; ++i) total += sum.Term(chain[i], i);
  EXPECT_EQ(sum.Terms(chain.list(), 0, 0, 50), total);
  EXPECT_EQ(sum.Terms(chain.list(), 0, 0, 20) + sum.Terms(chain.list(), 0, 20, 50), total);
  EXPECT_EQ(sum.Terms(chain.part(20, 30), 20, 0, 30), sum.Terms(chain.list(), 0, 20, 50));
}

TEST(ChainSum, OfAListOfAnyLengthAtAnyPlaceIsTheSumOfItsTerms) {
  const ChainSum sum(5);
  const Chain chain(1, 70);
  for (const uint32_t offset : {0u, 1u, 4095u, (1u << 30) - 1}) {
    uint64_t total = 0;
    for (uint32_t count = 0; count <= 70; ++count) {
      EXPECT_EQ(sum.Terms(chain.list(), offset, 0, count), total) << offset << " " << count;
      if (count < 70) total += sum.Term(chain[count], offset + count);
    }
  }
}

// Hashes that change places anywhere, also between parts that are summed side by side.
TEST(ChainSum, TellsTheOrderOfALongList) {
  const ChainSum sum(5);
  const Chain chain(1, 64);
  const uint64_t whole = sum.Terms(chain.list(), 0, 0, 64);
  for (uint32_t a = 0; a < 64; ++a) {
    for (uint32_t b = 0; b < a; ++b) {
      Chain other = chain;
      uint8_t* bytes = other.bytes().data();
      std::swap_ranges(bytes + a * 32, bytes + a * 32 + 32, bytes + b * 32);
      EXPECT_NE(sum.Terms(other.list(), 0, 0, 64), whole) << a << " " << b;
    }
  }
}

TEST(ChainSum, WorksForHashesOfAnySize) {
  const ChainSum sum(5);
  const Chain chain(1, 50);
  for (const uint8_t bytes : {1, 8, 16, 20, 31}) {
    const HashList list(chain.list().raw().data(), bytes, 40);
    uint64_t total = 0;
    for (uint32_t i = 0; i < 40; ++i) total += sum.Term(list[i], i);
    EXPECT_EQ(sum.Terms(list, 0, 0, 40), total);
  }
}

TEST(ChainSum, ChangesWithEveryByteAndPlace) {
  const ChainSum sum(5);
  const Chain chain(1, 10);
  const uint64_t whole = sum.Terms(chain.list(), 0, 0, 10);
  for (size_t i = 0; i < 320; ++i) {
    Chain other = chain;
    other.bytes()[i] ^= 0x80;
    EXPECT_NE(sum.Terms(other.list(), 0, 0, 10), whole) << i;
  }
  Chain swapped = chain;
  for (int i = 0; i < 32; ++i) std::swap(swapped.bytes()[i], swapped.bytes()[96 + i]);
  EXPECT_NE(sum.Terms(swapped.list(), 0, 0, 10), whole);
}

TEST(ChainSum, TellsCountersApartWhereverTheyStandInTheHash) {
  const ChainSum sum(5);
  for (const size_t at : {0, 7, 8, 24, 31}) {
    std::vector<uint8_t> bytes(64 * 32);
    for (uint8_t i = 0; i < 64; ++i) bytes[i * 32 + at] = i;
    const uint64_t whole = sum.Terms({bytes.data(), 32, 64}, 0, 0, 64);
    for (uint8_t i = 1; i < 64; ++i) {
      std::vector<uint8_t> other = bytes;
      std::swap(other[at], other[i * 32 + at]);
      EXPECT_NE(sum.Terms({other.data(), 32, 64}, 0, 0, 64), whole);
    }
  }
}

}  // namespace
}  // namespace headrace::engine
