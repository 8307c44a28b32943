#include "engine/load_worker.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Loading {
  explicit Loading(const WorldOptions& options = {.pages = 20}) : world(options) {
    session = world.Open();
    rank = world.JoinPlain(session);
    world.SaveAll(session, rank, chain);
    const auto answer =
        world.AskItem(session, rank, {.hashes = chain.list(), .want_lease = true}, 4);
    lease = answer.lease;
  }
  RequestId Start(Duration timeout = {}) {
    world.load_timeout = timeout;
    return world.SubmitLoad(session, rank, lease, 0, {Ids(100)});
  }
  World world;
  Chain chain{1, 100};
  SessionId session = 0;
  uint32_t rank = 0;
  uint64_t lease = 0;
};

TEST(LoadWorker, HandsALongLoadOutBySlices) {
  Loading l;
  const RequestId load = l.Start();
  EXPECT_LE(l.world.stats().copies_in_flight, Limits{}.slice_blocks);
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kOk);
  EXPECT_EQ(l.world.stats().loaded_blocks, 100u);
}

TEST(LoadWorker, LoadsOnlyThePositionsThatHaveATarget) {
  Loading l;
  std::vector<uint32_t> targets(30, wire::kNoBlock);
  targets[3] = 7;
  targets[29] = 8;
  l.world.SubmitLoad(l.session, l.rank, l.lease, 40, {targets});
  uint32_t copies = 0;
  while (l.world.engine().HasWork()) l.world.Apply(Tick{});
  for (const auto& [ticket, job] : l.world.copies()) copies += job.blocks.size();
  EXPECT_EQ(copies, 2u);
  l.world.Quiet();
  EXPECT_EQ(l.world.stats().loaded_blocks, 30u);
  EXPECT_EQ(l.world.stats().loaded_bytes, 2u * 4096);
}

TEST(LoadWorker, RefusesALoadWithoutTargets) {
  Loading l;
  const RequestId load =
      l.world.SubmitLoad(l.session, l.rank, l.lease, 0, {std::vector(5, wire::kNoBlock)});
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kInvalid);
}

TEST(LoadWorker, IsAllOrErrorWhenACopyFails) {
  Loading l;
  const RequestId load = l.Start();
  l.world.RunTicks();
  l.world.Complete(std::prev(l.world.copies().end())->first, Errc::kIo);
  EXPECT_FALSE(l.world.Answered(l.session, load));
  EXPECT_EQ(l.world.cancelled().size(), l.world.copies().size());
  l.world.Quiet();
  const Reply reply = l.world.Answer(l.session, load);
  EXPECT_EQ(reply.error.code, Errc::kIo);
  EXPECT_EQ(std::get<wire::LoadReply>(reply.body).loaded, 0u);
  EXPECT_EQ(l.world.stats().failed_loads, 1u);
}

TEST(LoadWorker, IsCancelledOnlyAfterItsFence) {
  Loading l;
  const RequestId load = l.Start();
  l.world.Apply(Cancel{l.session, load});
  EXPECT_FALSE(l.world.Answered(l.session, load));
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kCancelled);
  EXPECT_EQ(l.world.stats().cancelled_loads, 1u);
  l.world.engine().CheckInvariants();
}

TEST(LoadWorker, TimesOut) {
  Loading l;
  const RequestId load = l.Start(milliseconds(2));
  l.world.Advance(milliseconds(2));
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kTimeout);
}

TEST(LoadWorker, RefusesADeadlineThatIsOver) {
  Loading l;
  const RequestId load = l.Start(-milliseconds(1));
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kTimeout);
  EXPECT_EQ(l.world.stats().leases, 1u);
}

TEST(LoadWorker, PinsWhatItReadsThroughAPurge) {
  Loading l;
  const RequestId load = l.Start();
  EXPECT_TRUE(l.world.PurgeOne(l.session, l.rank, l.chain[50]));
  EXPECT_EQ(l.world.Hit(l.session, l.rank, l.chain.list()), 50u);
  l.world.RunTicks();
  l.world.engine().CheckInvariants();  // no slot under the copy is free
  EXPECT_FALSE(l.world.Answered(l.session, load));
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kGone);
  EXPECT_EQ(l.world.stats().used_bytes, 50u * 4096);
}

TEST(LoadWorker, FailsWhenTheNamespaceIsClearedUnderIt) {
  Loading l;
  const RequestId load = l.Start();
  l.world.RunTicks();  // all of it is at the mover
  l.world.ClearAll(l.session, l.rank);
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kGone);
  EXPECT_EQ(l.world.stats().used_bytes, 0u);
}

TEST(LoadWorker, GoesOnAfterItsLeaseIsReleased) {
  Loading l;
  const RequestId load = l.Start();
  const wire::Release release{.leases = {l.lease}};
  l.world.Apply(Release{l.session, &release});
  for (uint64_t seed = 5; seed < 12; ++seed) {
    l.world.SubmitSave(l.session, l.rank, Chain(seed, 60));  // wants the room
  }
  l.world.RunTicks();
  l.world.engine().CheckInvariants();
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kOk);
}

TEST(LoadWorker, NamesAPartThatIsNotThere) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank =
      world.Joined(session, world.Spec("hybrid", {GroupOf(wire::GroupKind::kFull, 4096),
                                                  GroupOf(wire::GroupKind::kState, 4096)}));
  const Chain chain(1, 4);
  world.SaveAll(session, rank, chain);
  world.SaveAll(session, rank, chain, {.from = 3, .group = 1});
  const auto answer = world.Ask(session, rank, chain.list(), true);
  ASSERT_EQ(answer.hit_blocks, 4u);
  const RequestId load = world.SubmitLoad(session, rank, answer.lease, 0, {Ids(4), Ids(4)});
  world.Quiet();
  EXPECT_EQ(world.CodeOf(session, load), Errc::kNotFound);
}

TEST(LoadWorker, GivesEachRankItsOwnPart) {
  World world;
  const SessionId session = world.Open();
  const auto groups = std::vector{GroupOf(wire::GroupKind::kFull, 4096)};
  const uint32_t r0 = world.Joined(session, world.Spec("tp", groups, 0, 2));
  const uint32_t r1 = world.Joined(session, world.Spec("tp", groups, 1, 2));
  const Chain chain(1, 3);
  world.SaveAll(session, r0, chain);
  world.SaveAll(session, r1, chain);
  const auto answer = world.AskItem(session, r0, {.hashes = chain.list(), .want_lease = true}, 2);
  std::vector<uint64_t> offsets;
  for (const uint32_t rank : {r0, r1}) {
    world.SubmitLoad(session, rank, answer.lease, 2, {Ids(1)});
    offsets.push_back(std::prev(world.copies().end())->second.blocks[0].slot_offset);
  }
  EXPECT_NE(offsets[0], offsets[1]);
  world.Quiet();
}

}  // namespace
}  // namespace headrace::engine
