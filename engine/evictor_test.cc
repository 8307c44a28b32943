#include "engine/evictor.h"

#include <random>

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Plain {
  explicit Plain(const WorldOptions& options) : world(options) {
    session = world.Open();
    rank = world.JoinPlain(session);
  }
  uint32_t Hit(const Chain& chain) {
    return world.engine().LinearHit(0, chain.list());  // touches nothing
  }
  World world;
  SessionId session = 0;
  uint32_t rank = 0;
};

TEST(Evictor, TakesTheLeastRecentlyUsedLeavesAndNoMore) {
  Plain p(World::Brim(1));
  const Chain a(1, 8), b(2, 8);
  p.world.SaveAll(p.session, p.rank, a);
  p.world.Advance(microseconds(1));
  p.world.SaveAll(p.session, p.rank, b);
  p.world.Advance(microseconds(1));
  p.world.SaveAll(p.session, p.rank, Chain(3, 3));
  EXPECT_EQ(p.Hit(a), 5u);  // from its end
  EXPECT_EQ(p.Hit(b), 8u);
  EXPECT_EQ(p.world.stats().evicted_blocks, 3u);
  EXPECT_EQ(p.world.stats().evictions_needed_bytes, p.world.stats().evicted_bytes);
}

TEST(Evictor, KeepsSharedBeginningsForTheirBranches) {
  Plain p(World::Brim(2));  // 32 slots
  const Chain root(1, 10);
  std::vector<Chain> branches;
  for (uint64_t i = 0; i < 10; ++i) {
    branches.push_back(root.Branch(10, i, 12));
    p.world.Advance(microseconds(1));
    p.world.SaveAll(p.session, p.rank, branches.back());
  }
  EXPECT_EQ(p.Hit(root), 10u);
  p.world.SaveAll(p.session, p.rank, Chain(9, 8));
  EXPECT_EQ(p.Hit(root), 10u);
  EXPECT_EQ(p.Hit(branches[9]), 12u);
  EXPECT_EQ(p.Hit(branches[0]), 10u);
}

TEST(Evictor, EvictsInTheBackgroundFromTheHighToTheLowMark) {
  WorldOptions options{.pages = 10};  // 160 slots
  options.limits.high_water = 0.9;
  options.limits.low_water = 0.8;
  Plain p(options);
  for (uint64_t seed = 0; seed < 14; ++seed) p.world.SaveAll(p.session, p.rank, Chain(seed, 10));
  EXPECT_EQ(p.world.stats().evicted_blocks, 0u);
  p.world.SaveAll(p.session, p.rank, Chain(100, 5));
  EXPECT_EQ(p.world.stats().used_bytes, 128u * 4096);
  EXPECT_EQ(p.world.stats().evicted_blocks, 17u);
}

TEST(Evictor, ComesToRestWhenNothingMayGo) {
  WorldOptions options{.pages = 1};
  options.limits.high_water = 0.5;
  options.limits.low_water = 0.5;
  options.limits.instance_max_leased = 1;
  Plain p(options);
  const Chain chain(1, 8);
  p.world.SaveAll(p.session, p.rank, chain);
  EXPECT_NE(p.world.Ask(p.session, p.rank, chain.list(), true).lease, 0u);
  p.world.SubmitSave(p.session, p.rank, Chain(2, 5));
  for (int i = 0; i < 100; ++i) p.world.Apply(Tick{});
  EXPECT_FALSE(p.world.engine().HasWork());
  p.world.Quiet();
}

TEST(Evictor, GivesAPageOfOneSizeToAnother) {
  Plain p(World::Brim(4));
  const Chain small(1, 64);
  p.world.SaveAll(p.session, p.rank, small);
  EXPECT_EQ(p.world.stats().used_bytes, p.world.stats().ready_bytes);
  const uint32_t large =
      p.world.Joined(p.session, p.world.Spec("large", {GroupOf(wire::GroupKind::kFull, 16384)}));
  const Chain chain(2, 4);
  EXPECT_EQ(p.world.SaveAll(p.session, large, chain).stored, 4u);
  EXPECT_EQ(p.world.Hit(p.session, large, chain.list()), 4u);
  EXPECT_EQ(p.world.stats().reclaimed_pages, 1u);
  p.world.engine().CheckInvariants();
}

TEST(Evictor, DoesNotTakeAPageWhoseBlocksAreInUse) {
  Plain p(World::Brim(2));
  const Chain small(1, 32);
  p.world.SaveAll(p.session, p.rank, small);
  const uint64_t lease = p.world.Ask(p.session, p.rank, small.list(), true).lease;
  const uint32_t large =
      p.world.Joined(p.session, p.world.Spec("large", {GroupOf(wire::GroupKind::kFull, 16384)}));
  EXPECT_EQ(p.world.SaveAll(p.session, large, Chain(2, 4)).refused, 4u);
  EXPECT_EQ(p.Hit(small), 32u);
  const wire::Release release{.leases = {lease}};
  p.world.Apply(Release{p.session, &release});
  p.world.Advance(seconds(1));
  EXPECT_EQ(p.world.SaveAll(p.session, large, Chain(2, 4)).stored, 4u);
  p.world.engine().CheckInvariants();
}

TEST(Evictor, LetsASizeInUseGrowIntoTheColdPagesOfAnother) {
  Plain p(World::Brim(8));
  for (uint64_t seed = 0; seed < 16; ++seed) p.world.SaveAll(p.session, p.rank, Chain(seed, 8));
  p.world.Advance(seconds(100));
  const uint32_t large =
      p.world.Joined(p.session, p.world.Spec("large", {GroupOf(wire::GroupKind::kFull, 16384)}));
  for (uint64_t seed = 100; seed < 200; ++seed) {
    p.world.Advance(milliseconds(10));
    p.world.SaveAll(p.session, large, Chain(seed, 2));
  }
  EXPECT_GE(p.world.stats().reclaimed_pages, 6u);
  p.world.engine().CheckInvariants();
}

TEST(Evictor, UnderPressureRefusesNothingAndFreesOnlyWhatIsNeeded) {
  WorldOptions options{.pages = 64};  // 1024 slots
  options.limits.instance_max_leased = 1;
  Plain p(options);
  std::mt19937_64 random(7);
  std::vector<Chain> prompts;
  for (uint64_t i = 0; i < 40; ++i) prompts.push_back(Chain(i, 4 + random() % 8));
  for (int i = 0; i < 3000; ++i) {
    p.world.Advance(microseconds(50));
    const Chain& prompt = prompts[random() % 40];
    const Chain chain = prompt.Branch(prompt.size(), random(), prompt.size() + 1 + random() % 12);
    EXPECT_EQ(p.world.SaveAll(p.session, p.rank, chain).refused, 0u);
    const auto answer = p.world.Ask(p.session, p.rank, chain.list(), true);
    EXPECT_EQ(answer.hit_blocks, chain.size());
    EXPECT_EQ(p.world.LoadAll(p.session, p.rank, answer.lease, 0, chain.size()).error.code,
              Errc::kOk);
  }
  const Stats& stats = p.world.stats();
  EXPECT_EQ(stats.refused_blocks, 0u);
  EXPECT_GE(static_cast<double>(stats.live_bytes), 0.95 * static_cast<double>(stats.used_bytes));
  EXPECT_GE(static_cast<double>(stats.used_bytes), 0.95 * static_cast<double>(stats.ready_bytes));
  EXPECT_LE(static_cast<double>(stats.evicted_bytes),
            1.1 * static_cast<double>(stats.evictions_needed_bytes));
  p.world.engine().CheckInvariants();
}

}  // namespace
}  // namespace headrace::engine
