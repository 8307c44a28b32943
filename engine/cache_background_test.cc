// Hidden blocks: those that wait for a parent, or for another rank.
#include "engine/cache.h"
#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Plain {
  explicit Plain(const WorldOptions& options = {}) : world(options) {
    session = world.Open();
    rank = world.JoinPlain(session);
  }
  World world;
  SessionId session = 0;
  uint32_t rank = 0;
};

TEST(Hidden, BlocksWaitForTheirParentAndFollowIt) {
  Plain p;
  const Chain chain(1, 10);
  p.world.SaveAll(p.session, p.rank, chain, {.from = 4});
  EXPECT_EQ(p.world.stats().blocks_hidden, 6u);
  EXPECT_TRUE(p.world.stored().empty());
  p.world.SaveAll(p.session, p.rank, chain, {.from = 2, .count = 2});
  EXPECT_EQ(p.world.stats().blocks_hidden, 8u);
  p.world.SaveAll(p.session, p.rank, chain, {.count = 2});
  EXPECT_EQ(p.world.stats().blocks_hidden, 0u);
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 10u);
  EXPECT_EQ(p.world.stored().size(), 10u);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(p.world.stored()[i].depth, i);
  p.world.engine().CheckInvariants();
}

TEST(Hidden, BlocksBecomeVisibleByTheOrderOfTheChainNotOfTheCopies) {
  Plain p({.pages = 20});
  const Chain chain(1, 90);
  p.world.SubmitSave(p.session, p.rank, chain);
  p.world.RunTicks();
  while (!p.world.copies().empty()) {
    p.world.Complete(std::prev(p.world.copies().end())->first);  // the last slice first
    p.world.engine().CheckInvariants();
  }
  p.world.RunTicks();
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 90u);
}

TEST(Hidden, ThousandsOfChildrenFollowBySlices) {
  Plain p(World::Brim(200));
  const Chain root(1, 1);
  for (uint64_t i = 0; i < 2000; ++i) {
    p.world.SaveAll(p.session, p.rank, root.Branch(1, i, 2), {.from = 1});
  }
  EXPECT_EQ(p.world.stats().blocks_hidden, 2000u);
  p.world.SubmitSave(p.session, p.rank, root);
  p.world.Complete(p.world.copies().begin()->first);
  EXPECT_GT(p.world.stats().blocks_hidden, 1500u);
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().blocks_hidden, 0u);
  p.world.engine().CheckInvariants();
}

TEST(Hidden, BlocksGoAfterTheirTime) {
  Plain p;
  const Chain chain(1, 10);
  p.world.SaveAll(p.session, p.rank, chain, {.from = 4});
  p.world.Advance(Limits{}.max_hidden);
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().blocks_hidden, 0u);
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  EXPECT_EQ(p.world.stats().hidden_expired_blocks, 6u);
  p.world.engine().CheckInvariants();
}

TEST(Hidden, PartsOfSomeRanksOnlyGoAfterTheirTime) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank =
      world.Joined(session, world.Spec("tp", {GroupOf(wire::GroupKind::kFull, 4096)}, 0, 2));
  world.SaveAll(session, rank, Chain(1, 5));
  EXPECT_EQ(world.stats().blocks_hidden, 5u);
  world.Advance(Limits{}.max_hidden);
  world.RunTicks();
  EXPECT_EQ(world.stats().used_bytes, 0u);
  world.engine().CheckInvariants();
}

TEST(Hidden, BlocksAreLimitedInNumberAndTheOldestGo) {
  WorldOptions options;
  options.limits.max_hidden_blocks = 4;
  Plain p(options);
  for (uint64_t seed = 0; seed < 6; ++seed) {
    p.world.Advance(microseconds(1));
    p.world.SaveAll(p.session, p.rank, Chain(seed, 2), {.from = 1});
  }
  EXPECT_EQ(p.world.stats().blocks_hidden, 4u);
  EXPECT_EQ(p.world.stats().limit_hidden, 2u);
  p.world.SaveAll(p.session, p.rank, Chain(0, 1));
  EXPECT_EQ(p.world.Hit(p.session, p.rank, Chain(0, 2).list()), 1u);
  p.world.SaveAll(p.session, p.rank, Chain(5, 1));
  EXPECT_EQ(p.world.Hit(p.session, p.rank, Chain(5, 2).list()), 2u);
}

TEST(Hidden, OldBlocksGoBeforeVisibleOnes) {
  Plain p(World::Brim(1));
  const Chain visible(1, 10), orphan(2, 5);
  p.world.SaveAll(p.session, p.rank, visible);
  p.world.SaveAll(p.session, p.rank, orphan, {.from = 1});
  p.world.Advance(Limits{}.hidden_grace);
  EXPECT_EQ(p.world.SaveAll(p.session, p.rank, Chain(3, 6)).stored, 6u);
  EXPECT_EQ(p.world.Hit(p.session, p.rank, visible.list()), 10u);
}

TEST(Hidden, YoungBlocksGoOnlyWhenNothingElseMay) {
  Plain p(World::Brim(1));
  const Chain visible(1, 6), orphan(2, 11);
  p.world.SaveAll(p.session, p.rank, visible);
  p.world.SaveAll(p.session, p.rank, orphan, {.from = 1});
  p.world.SaveAll(p.session, p.rank, Chain(3, 3));
  EXPECT_EQ(p.world.Hit(p.session, p.rank, visible.list()), 3u);
  EXPECT_EQ(p.world.stats().blocks_hidden, 10u);
  p.world.SaveAll(p.session, p.rank, Chain(4, 16));
  EXPECT_EQ(p.world.Hit(p.session, p.rank, Chain(4, 16).list()), 16u);
  p.world.engine().CheckInvariants();
}

TEST(Hidden, NamesOfParentsLeaveNothingBehind) {
  Plain p;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const RequestId save = p.world.SubmitSave(p.session, p.rank, Chain(seed, 3), {.from = 2});
    p.world.Apply(Cancel{p.session, save});
    p.world.Complete(p.world.copies().begin()->first, Errc::kCancelled);
  }
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  p.world.engine().CheckInvariants();  // counts the records
}

}  // namespace
}  // namespace headrace::engine
