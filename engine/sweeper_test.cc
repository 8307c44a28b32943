#include "engine/sweeper.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Plain {
  explicit Plain(const WorldOptions& options = {.pages = 100}) : world(options) {
    session = world.Open();
    rank = world.JoinPlain(session);
  }
  uint32_t Hit(const HashList& hashes) { return world.Hit(session, rank, hashes); }
  World world;
  SessionId session = 0;
  uint32_t rank = 0;
};

TEST(Sweeper, ClearsANamespaceAtOnceAndItsSlotsBySlices) {
  Plain p;
  const Chain chain(1, 1000);
  p.world.SaveAll(p.session, p.rank, chain);
  EXPECT_EQ(p.world.ClearAll(p.session, p.rank), 2u);
  EXPECT_EQ(p.Hit(chain.list()), 0u);
  EXPECT_GT(p.world.stats().used_bytes, 900u * 4096);
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  EXPECT_EQ(p.world.stats().cleared_blocks, 1000u);
  p.world.engine().CheckInvariants();
}

TEST(Sweeper, LeavesOtherNamespacesAlone) {
  Plain p;
  const uint32_t other = p.world.JoinPlain(p.session, "other");
  const Chain chain(1, 20);
  p.world.SaveAll(p.session, p.rank, chain);
  p.world.SaveAll(p.session, other, chain);
  p.world.ClearAll(p.session, p.rank);
  p.world.RunTicks();
  EXPECT_EQ(p.world.Hit(p.session, other, chain.list()), 20u);
}

TEST(Sweeper, LetsTheSameHashesBeSavedAgainWhileOldOnesAreSwept) {
  Plain p;
  const Chain chain(1, 300);
  p.world.SaveAll(p.session, p.rank, chain);
  p.world.ClearAll(p.session, p.rank);
  EXPECT_EQ(p.world.SaveAll(p.session, p.rank, chain).stored, 300u);
  EXPECT_EQ(p.Hit(chain.list()), 300u);
  EXPECT_EQ(p.world.stats().blocks_visible, 300u);
  // The world checks that each old block's end is told before the new block's beginning.
  p.world.RunTicks();
  EXPECT_EQ(p.world.removed().size(), 300u);
  p.world.engine().CheckInvariants();
}

TEST(Sweeper, LooksEverywhereWhenRecordsAreAddedMeanwhile) {
  Plain p({.pages = 100, .limits = {.slice_sweep = 1}});
  const uint32_t other = p.world.JoinPlain(p.session, "other");
  for (int i = 0; i < 20; ++i) p.world.SaveAll(p.session, p.rank, Chain(10 + i, 1));
  const Chain late(2, 40);
  p.world.SaveAll(p.session, other, late);
  p.world.ClearAll(p.session, other);
  while (p.world.stats().cleared_blocks == 0) p.world.Apply(Tick{});
  p.world.ClearAll(p.session, p.rank);  // this round begins behind its blocks
  p.world.SaveAll(p.session, other, Chain(3, 500));
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().cleared_blocks, 60u);
  EXPECT_EQ(p.world.stats().blocks_visible, 500u);
}

TEST(Sweeper, FailsASaveThatAClearOvertakes) {
  Plain p;
  const Chain chain(1, 100);
  const RequestId save = p.world.SubmitSave(p.session, p.rank, chain);
  p.world.ClearAll(p.session, p.rank);
  p.world.Quiet();
  const Reply reply = p.world.Answer(p.session, save);
  EXPECT_EQ(reply.error.code, Errc::kGone);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).failed, 100u);
  EXPECT_EQ(p.Hit(chain.list()), 0u);
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  p.world.engine().CheckInvariants();
}

TEST(Sweeper, PurgesABlockAndItsDescendantsAtOnce) {
  Plain p;
  const Chain chain(1, 400);
  const Chain branch = chain.Branch(300, 1, 350);
  p.world.SaveAll(p.session, p.rank, chain);
  p.world.SaveAll(p.session, p.rank, branch);
  EXPECT_TRUE(p.world.PurgeOne(p.session, p.rank, chain[200]));
  EXPECT_EQ(p.Hit(chain.list()), 200u);
  EXPECT_EQ(p.Hit(branch.list()), 200u);
  EXPECT_EQ(p.world.engine().LinearHit(0, chain.list()), 200u);
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().blocks_visible, 200u);
  EXPECT_EQ(p.world.stats().purged_blocks, 250u);
  EXPECT_EQ(p.world.removed().size(), 250u);
  p.world.engine().CheckInvariants();
}

TEST(Sweeper, SaysWhenThereIsNothingToPurge) {
  Plain p;
  EXPECT_FALSE(p.world.PurgeOne(p.session, p.rank, Chain(1, 1)[0]));
}

TEST(Sweeper, TakesASaveOfPurgedBlocksAfterThePurge) {
  Plain p;
  const Chain chain(1, 400);
  p.world.SaveAll(p.session, p.rank, chain);
  p.world.PurgeOne(p.session, p.rank, chain[0]);
  const RequestId save = p.world.SubmitSave(p.session, p.rank, chain);
  p.world.Quiet();
  EXPECT_EQ(std::get<wire::SaveReply>(p.world.Answer(p.session, save).body).stored, 400u);
  EXPECT_EQ(p.Hit(chain.list()), 400u);
}

TEST(Sweeper, EndsLeasesOnPurgedBlocks) {
  Plain p;
  const Chain chain(1, 10);
  p.world.SaveAll(p.session, p.rank, chain);
  const uint64_t lease = p.world.Ask(p.session, p.rank, chain.list(), true).lease;
  p.world.PurgeOne(p.session, p.rank, chain[3]);
  const RequestId load = p.world.SubmitLoad(p.session, p.rank, lease, 0, {Ids(10)});
  p.world.Quiet();
  EXPECT_EQ(p.world.CodeOf(p.session, load), Errc::kGone);
  EXPECT_EQ(p.world.stats().leases, 0u);
}

TEST(Sweeper, LimitsPurgesThatWait) {
  WorldOptions options{.pages = 100};
  options.limits.max_purges = 1;
  Plain p(options);
  const Chain a(1, 500), b(2, 2);
  p.world.SaveAll(p.session, p.rank, a);
  p.world.SaveAll(p.session, p.rank, b);
  EXPECT_TRUE(p.world.PurgeOne(p.session, p.rank, a[0]));
  p.world.Apply(Purge{p.session, 9000, p.rank, b[0]});
  EXPECT_EQ(p.world.CodeOf(p.session, 9000), Errc::kLimit);
  EXPECT_EQ(p.world.stats().limit_purges, 1u);
}

TEST(Sweeper, MarksHeadersFreeSoThatACrashBringsNothingBack) {
  Plain p;
  const Chain chain(1, 3);
  p.world.SaveAll(p.session, p.rank, chain);
  const uint64_t lease = p.world.Ask(p.session, p.rank, chain.list(), true).lease;
  p.world.SubmitLoad(p.session, p.rank, lease, 0, {Ids(3)});  // keeps the slots in use
  p.world.PurgeOne(p.session, p.rank, chain[0]);
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().used_bytes, 3u * 4096);
  for (const auto& header : p.world.meta().slots()) {
    EXPECT_EQ(wire::LoadState(header), wire::SlotState::kFree);
  }
  p.world.Quiet();
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
}

}  // namespace
}  // namespace headrace::engine
