#include "engine/slab.h"

#include <gtest/gtest.h>

#include <set>

namespace headrace::engine {
namespace {

struct Fixture {
  explicit Fixture(uint32_t pages = 3, uint32_t nodes = 1, uint64_t page_bytes = 64 << 10) {
    PoolShape shape{.page_bytes = page_bytes, .min_slot_bytes = 4096};
    for (uint32_t node = 0; node < nodes; ++node) {
      shape.regions.push_back({pages / nodes * shape.page_bytes, node});
    }
    memory.resize(shape.MetaBytes());
    meta = *PoolMeta::Format(memory, shape, 1);
    slab = *Slab::Create(&meta, &stats);
    for (uint32_t page = 0; page < pages; ++page) slab.AddPage(page);
  }
  std::vector<uint8_t> memory;
  PoolMeta meta;
  Stats stats;
  Slab slab;
};

TEST(Slab, GivesEverySlotOfAPageOnce) {
  Fixture f(1);
  const SizeClass size = *f.slab.OpenClass(4096);
  std::set<uint64_t> offsets;
  for (int i = 0; i < 16; ++i) offsets.insert(f.slab.Place(f.slab.Take(size), 0).slot_offset);
  EXPECT_EQ(offsets.size(), 16u);
  EXPECT_EQ(*offsets.rbegin(), 15u * 4096);
  EXPECT_EQ(f.slab.Take(size), kNone);
  f.slab.CheckPages();
}

TEST(Slab, RoundsSlotsUpTo4096) {
  Fixture f;
  EXPECT_EQ(f.slab.slot_bytes(*f.slab.OpenClass(1)), 4096u);
  EXPECT_EQ(f.slab.slot_bytes(*f.slab.OpenClass(4097)), 8192u);
  EXPECT_EQ(*f.slab.OpenClass(4097), *f.slab.OpenClass(8000));
}

TEST(Slab, RefusesABlockLargerThanAPage) {
  Fixture f;
  const auto refused = f.slab.OpenClass((64 << 10) + 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(std::string(refused.error().what).find("--page-size"), std::string::npos);
  EXPECT_TRUE(f.slab.OpenClass(64 << 10).has_value());
}

TEST(Slab, ReusesAFreedSlotFirst) {
  Fixture f;
  const SizeClass size = *f.slab.OpenClass(4096);
  const SlotIndex a = f.slab.Take(size), b = f.slab.Take(size);
  f.slab.Give(a);
  EXPECT_EQ(f.slab.Take(size), a);
  EXPECT_NE(a, b);
  f.slab.CheckPages();
}

TEST(Slab, GivesAnEmptyPageToAnotherSize) {
  Fixture f(1);
  const SizeClass small = *f.slab.OpenClass(4096), large = *f.slab.OpenClass(32 << 10);
  const SlotIndex slot = f.slab.Take(small);
  EXPECT_FALSE(f.slab.HasRoom(large));
  EXPECT_EQ(f.slab.Take(large), kNone);
  f.slab.Give(slot);
  EXPECT_NE(f.slab.Take(large), kNone);
  EXPECT_EQ(f.meta.pages()[0].slot_bytes, 32u << 10);
  f.slab.CheckPages();
}

TEST(Slab, TakesNothingFromADrainingPage) {
  Fixture f(2);
  const SizeClass size = *f.slab.OpenClass(32 << 10);
  const SlotIndex first = f.slab.Take(size), second = f.slab.Take(size);
  f.slab.Give(second);
  f.slab.StartDrain(f.slab.page_of(first));
  EXPECT_NE(f.slab.page_of(f.slab.Take(size)), f.slab.page_of(first));
  f.slab.Give(first);
  EXPECT_EQ(f.slab.empty_pages(), 1u);
  f.slab.CheckPages();
}

TEST(Slab, PrefersPagesOfTheAskedNode) {
  Fixture f(4, 2);
  const SizeClass size = *f.slab.OpenClass(64 << 10);
  EXPECT_EQ(f.slab.Place(f.slab.Take(size, 0), 0).region, 0u);
  EXPECT_EQ(f.slab.Place(f.slab.Take(size, 1), 0).region, 1u);
  EXPECT_EQ(f.slab.Place(f.slab.Take(size, 1), 0).region, 1u);
  EXPECT_EQ(f.slab.Place(f.slab.Take(size, 1), 0).region, 0u);  // a preference only
}

TEST(Slab, CountsBytes) {
  Fixture f(2);
  EXPECT_EQ(f.stats.ready_bytes, 128u << 10);
  const SizeClass size = *f.slab.OpenClass(5000);
  const SlotIndex slot = f.slab.Take(size);
  EXPECT_EQ(f.stats.used_bytes, 8192u);
  f.slab.Give(slot);
  EXPECT_EQ(f.stats.used_bytes, 0u);
}

TEST(Slab, LimitsTheNumberOfSizes) {
  Fixture f(1, 1, 256 << 10);
  for (uint32_t i = 0; i < kMaxClasses; ++i) {
    ASSERT_EQ(*f.slab.OpenClass((i + 1) * 4096), i);
  }
  EXPECT_EQ(f.slab.OpenClass(40 * 4096).error().code, Errc::kLimit);
  f.slab.CloseClass(7);
  EXPECT_EQ(*f.slab.OpenClass(40 * 4096), 7u);
}

}  // namespace
}  // namespace headrace::engine
