#include "indexer/key_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <unordered_map>

#include "base/random.h"

namespace headrace::indexer {
namespace {

// Records that are nothing but their keys.
class Records : public KeyTable::Keys {
 public:
  uint64_t KeyOf(uint32_t record) const override { return keys.at(record); }
  void PrefetchKey(uint32_t) const override {}
  std::vector<uint64_t> keys;
};

struct Fixture {
  explicit Fixture(uint64_t seed = 7)
      : source(ChunkSource::kSmallBytes), pages(&source), table(&source, &pages, &records, seed) {}
  uint32_t Find(uint64_t key) const {
    return table.Search(table.Hash(key),
                        [&](uint32_t record) { return records.keys[record] == key; });
  }
  uint32_t Insert(uint64_t key) {
    records.keys.push_back(key);
    const auto record = static_cast<uint32_t>(records.keys.size() - 1);
    table.Insert(table.Hash(key), record);
    return record;
  }
  Records records;
  ChunkSource source;
  KeyPages pages;
  KeyTable table;
};

TEST(KeyTable, FindsWhatWasInserted) {
  Fixture f;
  const uint32_t record = f.Insert(77);
  EXPECT_EQ(f.Find(77), record);
  EXPECT_EQ(f.Find(78), KeyTable::kNone);
  EXPECT_EQ(f.table.FirstCandidate(f.table.Hash(77)), record);
  f.table.Erase(f.table.Hash(77), record);
  EXPECT_EQ(f.Find(77), KeyTable::kNone);
  EXPECT_EQ(f.table.size(), 0u);
}

TEST(KeyTable, HoldsRecordsWithEqualKeys) {
  Fixture f;
  for (int i = 0; i < 20; ++i) f.Insert(5);
  std::vector<bool> seen(20);
  (void)f.table.Search(f.table.Hash(5), [&](uint32_t record) {
    seen.at(record) = true;
    return false;
  });
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 20);
  f.table.Check();
}

TEST(KeyTable, StaysFullAtEverySize) {
  Fixture f;
  Random random(11);
  size_t next = 20000;
  for (size_t i = 1; i <= 400000; ++i) {
    f.Insert(random.Next());
    if (i != next) continue;
    next += next / 9;
    const double bytes = static_cast<double>(f.source.bytes()) / static_cast<double>(i);
    EXPECT_LT(bytes, 7.2 + 2.0 * ChunkSource::kSmallBytes / static_cast<double>(i)) << i;
    if (i < 60000) continue;
    EXPECT_GT(f.table.load(), 0.74) << i;
  }
  f.table.Check();
}

TEST(KeyTable, GivesPagesBackWhenItEmpties) {
  Fixture f;
  Random random(12);
  for (int i = 0; i < 50000; ++i) f.Insert(random.Next());
  const uint64_t before = f.source.bytes();
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 50000; i += 2) f.table.Erase(f.table.Hash(f.records.keys[i]), i);
    f.table.Check();
    EXPECT_GT(f.pages.free(), 25u);  // of some 85
    for (uint32_t i = 0; i < 50000; i += 2) {
      f.records.keys[i] = random.Next();
      f.table.Insert(f.table.Hash(f.records.keys[i]), i);
    }
  }
  EXPECT_LE(f.source.bytes(), before + ChunkSource::kSmallBytes);
}

// A table beside a map that says what must be in it.
struct Twin {
  explicit Twin(uint64_t seed) : f(seed) {}
  void Put(uint64_t key) {
    if (free.empty()) {
      model[key] = f.Insert(key);
      return;
    }
    const uint32_t record = free.back();
    free.pop_back();
    f.records.keys[record] = key;
    f.table.Insert(f.table.Hash(key), record);
    model[key] = record;
  }
  void Drop(std::unordered_map<uint64_t, uint32_t>::iterator at) {
    f.table.Erase(f.table.Hash(at->first), at->second);
    free.push_back(at->second);
    model.erase(at);
  }
  Fixture f;
  std::unordered_map<uint64_t, uint32_t> model;
  std::vector<uint32_t> free;
};

TEST(KeyTable, StaysRightThroughRandomChanges) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Twin twin(seed);
    Random random(100 + seed);
    size_t most = 0;
    for (int i = 0; i < 200000; ++i) {
      const bool grows = (i / 25000) % 2 == 0;  // then it empties
      const uint64_t key = random.Below(grows ? 40000 : 8000);
      const auto at = twin.model.find(key);
      ASSERT_EQ(twin.f.Find(key), at == twin.model.end() ? KeyTable::kNone : at->second);
      if (at != twin.model.end()) {
        if (random.Chance(1, grows ? 4 : 1)) twin.Drop(at);
      } else if (random.Chance(1, grows ? 1 : 8)) {
        twin.Put(key);
      }
      if (!grows && !twin.model.empty()) twin.Drop(twin.model.begin());
      most = std::max(most, twin.model.size());
    }
    EXPECT_GT(most, 10000u);
    EXPECT_EQ(twin.f.table.size(), twin.model.size());
    twin.f.table.Check();
  }
}

}  // namespace
}  // namespace headrace::indexer
