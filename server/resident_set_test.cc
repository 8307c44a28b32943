#include "server/resident_set.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "server/event_samples.h"

namespace headrace::server {
namespace {

ResidentSet::Block BlockOf(uint64_t number, uint64_t parent, uint32_t depth) {
  return {.hash = HashOf(number),
          .parent = parent == 0 ? wire::BlockHash{} : HashOf(parent),
          .depth = depth};
}

uint64_t NumberOf(const wire::BlockHash& hash) {
  uint64_t number = 0;
  for (const uint8_t byte : hash.view().last(8)) number = number << 8 | byte;
  return number;
}

std::vector<uint64_t> Numbers(const ResidentSet& set) {
  std::vector<uint64_t> numbers;
  set.ForEach([&](const ResidentSet::Block& block) { numbers.push_back(NumberOf(block.hash)); });
  return numbers;
}

TEST(ResidentSet, GivesParentsBeforeTheirChildren) {
  ResidentSet set(1);
  EXPECT_TRUE(set.Add(BlockOf(3, 2, 2)));  // before its parent
  EXPECT_TRUE(set.Add(BlockOf(1, 0, 0)));
  EXPECT_TRUE(set.Add(BlockOf(2, 1, 1)));
  EXPECT_TRUE(set.Add(BlockOf(4, 1, 1)));
  set.CheckInvariants();
  std::set<uint64_t> seen = {0};
  set.ForEach([&](const ResidentSet::Block& block) {
    const uint64_t parent = block.parent.empty() ? 0 : NumberOf(block.parent);
    EXPECT_TRUE(seen.contains(parent)) << NumberOf(block.hash);
    seen.insert(NumberOf(block.hash));
  });
  EXPECT_EQ(seen.size(), 5u);
}

TEST(ResidentSet, TellsABlockOnce) {
  ResidentSet set(1);
  EXPECT_TRUE(set.Add(BlockOf(1, 0, 0)));
  EXPECT_FALSE(set.Add(BlockOf(1, 0, 0)));
  EXPECT_TRUE(set.Remove(HashOf(1)));
  EXPECT_FALSE(set.Remove(HashOf(1)));
  EXPECT_EQ(set.size(), 0u);
}

TEST(ResidentSet, KeepsAChildWhoseParentGoes) {
  ResidentSet set(1);
  set.Add(BlockOf(1, 0, 0));
  set.Add(BlockOf(2, 1, 1));
  EXPECT_TRUE(set.Remove(HashOf(1)));
  set.CheckInvariants();
  EXPECT_EQ(Numbers(set), std::vector<uint64_t>{2});
  EXPECT_TRUE(set.Remove(HashOf(2)));
  set.CheckInvariants();
}

TEST(ResidentSet, MakesNoRingOfWhatClientsClaim) {
  ResidentSet set(1);
  set.Add(BlockOf(1, 1, 3));  // its own parent
  set.Add(BlockOf(2, 3, 5));
  set.Add(BlockOf(3, 2, 6));  // below its own child
  set.CheckInvariants();
  EXPECT_EQ(Numbers(set).size(), 3u);
}

TEST(ResidentSet, KeepsTokensAsLongAsTheBlock) {
  ResidentSet set(1);
  const std::vector<uint32_t> tokens = {5, 6, 7};
  ResidentSet::Block block = BlockOf(1, 0, 0);
  block.tokens = tokens;
  set.Add(block);
  set.ForEach([&](const ResidentSet::Block& kept) {
    EXPECT_EQ(std::vector(kept.tokens.begin(), kept.tokens.end()), tokens);
  });
  set.Remove(HashOf(1));
  set.CheckInvariants();
}

struct Told {
  std::set<uint64_t> gone;
  std::vector<uint64_t> added;
};

Told EndRetelling(ResidentSet* set) {
  Told told;
  const auto difference = set->EndRetelling(
      [&](const ResidentSet::Block& block) { told.added.push_back(NumberOf(block.hash)); });
  for (const auto& hash : difference.gone) told.gone.insert(NumberOf(hash));
  return told;
}

TEST(ResidentSet, AfterRetellingTellsTheDifference) {
  ResidentSet set(1);
  set.Add(BlockOf(1, 0, 0));
  set.Add(BlockOf(2, 1, 1));
  set.BeginRetelling();
  EXPECT_FALSE(set.Add(BlockOf(4, 3, 1)));  // news, told at the end, after its parent
  EXPECT_FALSE(set.Add(BlockOf(1, 0, 0)));
  EXPECT_FALSE(set.Add(BlockOf(3, 0, 0)));
  const Told told = EndRetelling(&set);
  EXPECT_EQ(told.gone, std::set<uint64_t>{2});
  EXPECT_EQ(told.added, (std::vector<uint64_t>{3, 4}));
  set.CheckInvariants();
}

TEST(ResidentSet, WhatCameAndWentWhileRetellingIsNeverTold) {
  ResidentSet set(1);
  set.BeginRetelling();
  EXPECT_FALSE(set.Add(BlockOf(1, 0, 0)));
  EXPECT_FALSE(set.Remove(HashOf(1)));
  EXPECT_FALSE(set.Add(BlockOf(2, 0, 0)));
  set.BeginRetelling();  // again, before the end: nobody has heard of 2
  const Told told = EndRetelling(&set);
  EXPECT_TRUE(told.gone.empty() && told.added.empty());
  EXPECT_EQ(set.size(), 0u);
}

// A set, the truth, and what listeners believe.
struct Model {
  void Store(uint64_t number) {
    const auto depth = static_cast<uint32_t>(number % 40);
    if (set.Add(BlockOf(number, depth == 0 ? 0 : number - 1, depth))) heard.insert(number);
    there.insert(number);
  }
  void Remove(uint64_t number) {
    if (set.Remove(HashOf(number))) heard.erase(number);
    there.erase(number);
  }
  // Some go without a word.
  void Lose(uint64_t which) {
    std::erase_if(there, [which](uint64_t number) { return number % 7 == which % 7; });
    set.BeginRetelling();
  }
  void Retell() {
    for (const uint64_t number : std::set(there)) Store(number);
    const Told told = EndRetelling(&set);
    for (const uint64_t gone : told.gone) ASSERT_EQ(heard.erase(gone), 1u);
    for (const uint64_t added : told.added) ASSERT_TRUE(heard.insert(added).second);
  }
  ResidentSet set{7};
  std::set<uint64_t> there;
  std::set<uint64_t> heard;
};

TEST(ResidentSet, AgreesWithAModel) {
  Random random(5);
  Model model;
  for (int step = 0; step < 20000; ++step) {
    const uint64_t number = 1 + random.Next() % 800;
    const uint64_t kind = random.Next() % 100;
    if (kind < 50) model.Store(number);
    if (kind >= 50 && kind < 99) model.Remove(number);
    if (kind == 99) model.set.retelling() ? model.Retell() : model.Lose(number);
    if (step % 500 == 0) model.set.CheckInvariants();
    if (model.set.retelling()) continue;
    const auto numbers = Numbers(model.set);
    ASSERT_EQ(numbers.size(), model.there.size());
    ASSERT_TRUE(std::set(numbers.begin(), numbers.end()) == model.there);
    ASSERT_TRUE(model.heard == model.there);
  }
}

}  // namespace
}  // namespace headrace::server
