#include <gtest/gtest.h>

#include "engine/eviction_policy.h"

namespace headrace::engine {
namespace {

struct Fixture {
  Fixture() {
    table = *BlockTable::Create(100, 1);
    lru = MakeLru();
    EXPECT_TRUE(lru->Attach(&table).has_value());
  }
  // A visible leaf with a part of size class 0 (or those in `classes`).
  BlockIndex Leaf(int64_t access, ClassMask classes = 1) {
    BlockHash hash;
    hash.size = 32;
    hash.bytes[0] = ++last;
    const BlockIndex block = table.Add({0, 0, hash}, 0);
    table[block].flags |= kVisible;
    table[block].last_access = access;
    table[block].classes = classes;
    lru->BecameEvictable(block);
    return block;
  }
  void Remove(BlockIndex block) {
    table.Unindex(block);
    table.Free(block);
  }
  BlockIndex Next(SizeClass size_class = 0) { return lru->NextVictim(size_class).block; }

  BlockTable table;
  std::unique_ptr<EvictionPolicy> lru;
  uint8_t last = 0;
};

TEST(Lru, NamesTheColdestFirst) {
  Fixture f;
  f.Leaf(30);
  const BlockIndex coldest = f.Leaf(10);
  const BlockIndex second = f.Leaf(20);
  EXPECT_EQ(f.Next(), coldest);
  EXPECT_EQ(f.Next(), coldest);  // until it is gone
  f.Remove(coldest);
  EXPECT_EQ(f.Next(), second);
}

TEST(Lru, SeesATouchThatItWasNotToldOf) {
  Fixture f;
  const BlockIndex a = f.Leaf(10), b = f.Leaf(20);
  f.table[a].last_access = 30;
  EXPECT_EQ(f.Next(), b);
}

TEST(Lru, PassesOverWhatIsInUseAndComesBackToIt) {
  Fixture f;
  const BlockIndex a = f.Leaf(10), b = f.Leaf(20);
  f.table[a].pins = 1;
  EXPECT_EQ(f.Next(), b);
  f.table[a].pins = 0;
  f.lru->BecameEvictable(a);
  EXPECT_EQ(f.Next(), a);
}

TEST(Lru, KeepsOneEntryThroughManyChanges) {
  Fixture f;
  for (int i = 0; i < 1000; ++i) {
    const BlockIndex block = f.Leaf(i);
    f.lru->BecameEvictable(block);
    f.Remove(block);  // the record is used again by the next one
  }
  const BlockIndex last = f.Leaf(2000);
  EXPECT_EQ(f.Next(), last);
}

TEST(Lru, KeepsSizesApart) {
  Fixture f;
  const BlockIndex zero = f.Leaf(10, 1), one = f.Leaf(5, 2), both = f.Leaf(3, 3);
  EXPECT_EQ(f.Next(0), both);
  EXPECT_EQ(f.Next(1), both);
  f.Remove(both);
  EXPECT_EQ(f.Next(0), zero);
  EXPECT_EQ(f.Next(1), one);
  EXPECT_EQ(f.Next(2), kNone);
}

TEST(Lru, DoesABoundedAmountOfWorkACall) {
  Fixture f;
  for (int i = 0; i < 90; ++i) f.table[f.Leaf(i)].last_access = 1000 + i;
  const auto pick = f.lru->NextVictim(0);
  EXPECT_EQ(pick.block, kNone);
  EXPECT_TRUE(pick.more);
  EXPECT_NE(f.lru->NextVictim(0).block, kNone);
}

TEST(Lru, FindsTheColdestOfThoseThatAreWanted) {
  Fixture f;
  f.Leaf(1);
  const BlockIndex wanted = f.Leaf(20);
  f.Leaf(5);
  const BlockIndex colder = f.Leaf(10);
  const auto pick = f.lru->NextVictimAmong(
      0, [&](BlockIndex block) { return block == wanted || block == colder; });
  EXPECT_EQ(pick.block, colder);
  EXPECT_EQ(f.lru->NextVictimAmong(0, [](BlockIndex) { return false; }).block, kNone);
}

}  // namespace
}  // namespace headrace::engine
