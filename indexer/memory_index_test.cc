#include "indexer/memory_index.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/random.h"

namespace headrace::indexer {
namespace {

std::unique_ptr<MemoryIndex> MakeIndex(uint64_t max_bytes = 0) {
  return *MemoryIndex::Create({.seed = 9, .max_bytes = max_bytes});
}
HolderInfo Pod(PodId pod) {
  return {pod, 0, -1, false};
}
std::vector<RequestKey> RandomKeys(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<RequestKey> keys(count);
  for (RequestKey& key : keys) key = random.Next() | 1;
  return keys;
}
std::vector<EngineKey> NamesOf(std::span<const RequestKey> keys) {
  std::vector<EngineKey> engine;
  for (const RequestKey key : keys) engine.push_back(MixBits(key));
  return engine;
}
std::vector<RequestKey> Resolved(const MemoryIndex& index, EngineKey engine) {
  const auto keys = index.Resolve(engine);
  return {keys.begin(), keys.end()};
}
using Keys = std::vector<RequestKey>;

TEST(MemoryIndex, GivesAHolderOneNumberUntilItEnds) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1));
  EXPECT_EQ(index->AddHolder(Pod(1)), a);
  EXPECT_NE(index->AddHolder({1, 1, -1, false}), a);
  EXPECT_NE(index->AddHolder({1, 0, 2, false}), a);
  EXPECT_NE(index->AddHolder({1, 0, -1, true}), a);
  index->EndHolder(a);
  const HolderId again = index->AddHolder(Pod(1));
  EXPECT_NE(again, a);
  while (index->Sweep(1)) {
  }
  EXPECT_EQ(index->AddHolder(Pod(2)), a);  // free since the sweep
}

TEST(MemoryIndex, IgnoresKeysThatAreNoneAndHoldersThatEnded) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1));
  const Keys keys = {0, 5};
  const std::vector<EngineKey> engine = {7, 0};
  index->Add(a, engine, keys);
  EXPECT_EQ(index->stats().blocks, 1u);
  EXPECT_TRUE(index->Resolve(7).empty());
  EXPECT_TRUE(index->Resolve(0).empty());
  EXPECT_EQ(index->Remove(a, engine), 0u);
  index->EndHolder(a);
  index->EndHolder(a);
  index->Add(a, {}, Keys{6});
  EXPECT_EQ(index->RemoveKeys(a, keys), 0u);
  EXPECT_TRUE(index->Holders(5).empty());
  EXPECT_EQ(index->stats().blocks, 1u);
  index->Check();
}

TEST(MemoryIndex, ForgetsAnEngineKeyWithItsBlock) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1)), b = index->AddHolder(Pod(2));
  const std::vector<EngineKey> engine = {70};
  index->Add(a, engine, Keys{7});
  index->Add(b, engine, Keys{7});
  EXPECT_EQ(index->Remove(a, engine), 1u);
  EXPECT_EQ(Resolved(*index, 70), (Keys{7}));
  EXPECT_EQ(index->Remove(b, engine), 1u);
  EXPECT_TRUE(index->Resolve(70).empty());
  EXPECT_EQ(index->stats().engine_keys, 0u);
}

TEST(MemoryIndex, LetsEveryEngineNameABlockInItsWay) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1)), b = index->AddHolder(Pod(2));
  index->Add(a, std::vector<EngineKey>{70}, Keys{7});
  index->Add(b, std::vector<EngineKey>{71}, Keys{7});
  EXPECT_EQ(Resolved(*index, 70), (Keys{7}));
  EXPECT_EQ(Resolved(*index, 71), (Keys{7}));
  EXPECT_EQ(index->Remove(b, std::vector<EngineKey>{71}), 1u);
  EXPECT_EQ(index->Remove(a, std::vector<EngineKey>{71}), 1u);
  EXPECT_EQ(index->stats().engine_keys, 0u);
}

TEST(MemoryIndex, JoinsSmallerAndLargerEngineBlocks) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1));
  index->Add(a, std::vector<EngineKey>{21, 22, 23, 24}, Keys{1, 2});
  EXPECT_EQ(Resolved(*index, 22), (Keys{1}));
  EXPECT_EQ(Resolved(*index, 23), (Keys{2}));
  EXPECT_EQ(index->Remove(a, std::vector<EngineKey>{21, 22}), 1u);  // the block went with the first
  index->Add(a, std::vector<EngineKey>{31}, Keys{5, 6});
  EXPECT_EQ(Resolved(*index, 31), (Keys{5, 6}));
  EXPECT_EQ(index->Remove(a, std::vector<EngineKey>{31}), 2u);
  EXPECT_TRUE(index->Resolve(31).empty());
}

TEST(MemoryIndex, SeparatesOneEngineKeyWithTwoContents) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1)), b = index->AddHolder(Pod(2));
  index->Add(a, std::vector<EngineKey>{70}, Keys{7});
  index->Add(b, std::vector<EngineKey>{70}, Keys{8});
  EXPECT_EQ(Resolved(*index, 70), (Keys{7, 8}));
  EXPECT_EQ(index->Remove(a, std::vector<EngineKey>{70}), 1u);
  EXPECT_TRUE(index->Holders(7).empty());
  EXPECT_EQ(index->Holders(8), (std::vector<HolderId>{b}));
}

TEST(MemoryIndex, SharesTheSetOfBlocksWithTheSameHolders) {
  auto index = MakeIndex();
  const Keys keys = RandomKeys(1000, 4);
  for (PodId pod = 0; pod < 20; ++pod) {
    index->Add(index->AddHolder(Pod(pod)), NamesOf(keys), keys);
  }
  EXPECT_EQ(index->stats().holder_sets, 1u);
  EXPECT_EQ(index->Holders(keys[500]).size(), 20u);
}

TEST(MemoryIndex, SweepsInSmallStepsWhatAnEndedHolderLeft) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1)), b = index->AddHolder(Pod(2));
  const Keys keys = RandomKeys(900, 5);
  index->Add(a, NamesOf(keys), keys);
  index->Add(a, NamesOf(keys), keys);  // counts go too
  index->Add(b, {}, Keys(keys.begin(), keys.begin() + 100));
  index->EndHolder(a);
  EXPECT_TRUE(index->Holders(keys[200]).empty());
  size_t rounds = 0;
  while (index->Sweep(50)) ++rounds;
  EXPECT_GT(rounds, 10u);
  EXPECT_EQ(index->stats().blocks, 100u);
  EXPECT_EQ(index->stats().holders, 1u);
  EXPECT_EQ(index->Holders(keys[50]), (std::vector<HolderId>{b}));
  index->Check();
}

TEST(MemoryIndex, RefusesABudgetThatItCannotKeep) {
  EXPECT_EQ(MemoryIndex::Create({.seed = 1, .max_bytes = 1000}).error().code, Errc::kInvalid);
}

TEST(MemoryIndex, NeverTakesMoreThanItsBudget) {
  constexpr uint64_t kBudget = 12u << 20;
  auto index = MakeIndex(kBudget);
  Random random(6);
  std::vector<HolderId> holders;
  for (PodId pod = 0; pod < 300; ++pod) holders.push_back(index->AddHolder(Pod(pod)));
  uint64_t most = 0;
  for (int event = 0; event < 60000; ++event) {
    Keys keys = RandomKeys(16, random.Below(40000));  // some come again
    const auto names = NamesOf(keys);
    // Sets, links and counts of many kinds.
    const auto by = static_cast<uint64_t>(event) % 4;
    std::span<const EngineKey> engine = names;
    if (by == 1) engine = engine.subspan(0, 4);
    if (by == 2) {
      for (RequestKey& key : keys) key ^= 2;
    }
    index->Add(holders[random.Below(holders.size())], engine, keys);
    if (by == 3) {
      for (const RequestKey& key : keys) {
        index->Add(holders[random.Below(holders.size())], {}, {&key, 1});
      }
    }
    most = std::max(most, index->stats().bytes);
  }
  EXPECT_LE(most, kBudget);
  EXPECT_GT(most, kBudget / 2);
  EXPECT_GT(index->stats().evicted, 10000u);
  EXPECT_GT(index->stats().blocks, 20000u);
  index->Check();
}

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  file >> all >> resident;
  HR_CHECK(resident > 0);
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// What the process takes, not what the index says: heap and begun chunks too.
TEST(MemoryIndex, TakesNoMoreThanItsBudgetFromTheMachine) {
  constexpr uint64_t kBudget = 24u << 20;
  const uint64_t before = ResidentBytes();
  auto index = MakeIndex(kBudget);
  std::vector<HolderId> holders;
  for (PodId pod = 0; pod < 2000; ++pod) holders.push_back(index->AddHolder(Pod(pod)));
  Random random(14);
  uint64_t most = 0;
  Keys keys(64);
  for (int event = 0; event < 10000; ++event) {
    for (RequestKey& key : keys) key = random.Next() | 1;
    index->Add(holders[random.Below(holders.size())], NamesOf(keys), keys);
    // Wide sets, and copies beyond the first.
    for (int i = 0; i < 30; ++i) {
      index->Add(holders[random.Below(holders.size())], {}, {&keys[random.Below(16)], 1});
    }
    index->Add(holders[3], {}, {keys.data(), 2});
    index->Add(holders[3], {}, {keys.data(), 2});
    if (event % 100 == 0) most = std::max(most, ResidentBytes() - before);
  }
  EXPECT_GT(index->stats().evicted, 200'000u);
  EXPECT_GT(index->stats().blocks, 50'000u);
  EXPECT_GT(most, kBudget / 2);
#ifndef HEADRACE_SANITIZED  // they take as much again
  EXPECT_LE(most, kBudget);
#endif
  index->Check();
}

TEST(MemoryIndex, KeepsWhatIsAskedForWhenItDropsTheRest) {
  auto index = MakeIndex(MemoryIndex::kMinBudgetBytes);
  const HolderId a = index->AddHolder(Pod(1));
  const Keys hot = RandomKeys(1000, 7);
  index->Add(a, NamesOf(hot), hot);
  for (uint64_t i = 0; i < 30000; ++i) {
    const Keys keys = RandomKeys(16, 1000 + i);
    index->Add(a, NamesOf(keys), keys);
    if (i % 500 != 0) continue;
    for (size_t at = 0; at < hot.size(); at += MemoryIndex::kLookupKeys) {
      MemoryIndex::Lookup lookup;
      lookup.keys = std::span(hot).subspan(at, std::min(MemoryIndex::kLookupKeys, hot.size() - at));
      index->LookupGuess(&lookup, MemoryIndex::kNoGuess);
      index->LookupHashes(&lookup);
      index->LookupSlots(&lookup);
      index->LookupSets(&lookup);
    }
  }
  EXPECT_GT(index->stats().evicted, 100000u);
  for (const RequestKey key : hot) ASSERT_FALSE(index->Holders(key).empty());
}

TEST(MemoryIndex, TakesFewBytesABlockAtEverySize) {
  auto index = MakeIndex();
  const HolderId a = index->AddHolder(Pod(1));
  const Keys keys = RandomKeys(1'000'000, 8);
  const auto names = NamesOf(keys);
  // Less the chunks that are begun.
  constexpr double kBegun = 10.0 * ChunkSource::kLargeBytes;
  const std::span<const RequestKey> all = keys;
  const std::span<const EngineKey> engine = names;
  for (size_t at = 0; at < keys.size(); at += 10000) {
    index->Add(a, engine.subspan(at, 10000), all.subspan(at, 10000));
    const double blocks = static_cast<double>(at) + 10000;
    ASSERT_LE(static_cast<double>(index->stats().bytes), 36 * blocks + kBegun) << blocks;
  }
  // Half goes one by one, in no order, and as many others come.
  const uint64_t full = index->stats().bytes;
  Random random(9);
  std::vector<uint32_t> order(keys.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t i = 0; i < order.size() / 2; ++i) {
    std::swap(order[i], order[i + random.Below(order.size() - i)]);
    ASSERT_EQ(index->Remove(a, {&names[order[i]], 1}), 1u);
  }
  EXPECT_EQ(index->stats().blocks, keys.size() / 2);
  const Keys others = RandomKeys(keys.size() / 2, 10);
  index->Add(a, NamesOf(others), others);
  EXPECT_EQ(index->stats().blocks, keys.size());
  EXPECT_LE(index->stats().bytes, full + full / 50 + ChunkSource::kLargeBytes);
  index->Check();
}

}  // namespace
}  // namespace headrace::indexer
