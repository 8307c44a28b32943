#include "engine/hash_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace headrace::engine {
namespace {

const HashIndex::Cell* Find(const HashIndex& index, uint64_t fingerprint, BlockIndex block) {
  return index.Find(fingerprint, [&](const auto& cell) { return cell.block == block; });
}

TEST(HashIndex, FindsWhatWasInserted) {
  HashIndex index = *HashIndex::Create(100);
  index.Insert(77, 5, HashIndex::MarkOf(3, false));
  ASSERT_NE(Find(index, 77, 5), nullptr);
  EXPECT_EQ(Find(index, 77, 5)->mark, HashIndex::MarkOf(3, false));
  index.SetMark(77, 5, HashIndex::MarkOf(3, true));
  EXPECT_EQ(Find(index, 77, 5)->mark, HashIndex::MarkOf(3, true));
  EXPECT_EQ(Find(index, 78, 5), nullptr);
}

TEST(HashIndex, TellsEqualFingerprintsApartByTheMatch) {
  HashIndex index = *HashIndex::Create(100);
  index.Insert(77, 1, 0);
  index.Insert(77, 2, 0);
  EXPECT_EQ(Find(index, 77, 2)->block, 2u);
  index.Erase(77, 1);
  EXPECT_EQ(Find(index, 77, 1), nullptr);
  EXPECT_EQ(Find(index, 77, 2)->block, 2u);
}

TEST(HashIndex, HoldsAFingerprintOfZero) {
  HashIndex index = *HashIndex::Create(8);
  index.Insert(0, 4, 0);
  EXPECT_NE(Find(index, 0, 4), nullptr);
  index.Erase(0, 4);
  index.CheckCells(0);
}

TEST(HashIndex, StaysRightThroughRandomErasures) {
  HashIndex index = *HashIndex::Create(500);
  std::mt19937_64 random(3);
  std::map<BlockIndex, uint64_t> in;
  for (int i = 0; i < 20000; ++i) {
    const auto block = static_cast<BlockIndex>(random() % 500);
    if (auto it = in.find(block); it != in.end()) {
      index.Erase(it->second, block);
      in.erase(it);
    } else {
      // Few homes, so that runs are long and wrap around the end.
      const uint64_t fingerprint = random() % 5 + (random() % 3 == 0 ? 1020 : 0);
      index.Insert(fingerprint, block, 0);
      in[block] = fingerprint;
    }
    if (i % 500 == 0) index.CheckCells(in.size());
  }
  for (const auto& [block, fingerprint] : in) EXPECT_NE(Find(index, fingerprint, block), nullptr);
}

TEST(HashIndex, WarmsToTheEndWithoutChangingAnything) {
  HashIndex index = *HashIndex::Create(5000);
  index.Insert(77, 5, 1);
  while (index.Warm()) {
  }
  index.CheckCells(1);
  EXPECT_NE(Find(index, 77, 5), nullptr);
}

}  // namespace
}  // namespace headrace::engine
