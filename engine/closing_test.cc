#include "engine/closing.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

TEST(Closing, WaitsForTheFencesOfCopiesInFlight) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 10);
  world.SaveAll(session, rank, chain);
  const uint64_t lease = world.Ask(session, rank, chain.list(), true).lease;
  world.SubmitLoad(session, rank, lease, 0, {Ids(10)});
  world.SubmitSave(session, rank, Chain(2, 5));
  world.Close(session);
  world.RunTicks();
  EXPECT_EQ(world.cancelled().size(), 2u);
  EXPECT_TRUE(world.gone().empty());
  EXPECT_TRUE(world.dropped().empty());
  world.engine().CheckInvariants();
  world.Complete(world.copies().begin()->first, Errc::kCancelled);
  EXPECT_TRUE(world.gone().empty());
  world.Complete(world.copies().begin()->first, Errc::kCancelled);
  EXPECT_EQ(world.gone(), std::vector{session});
  EXPECT_EQ(world.dropped().size(), 1u);
  EXPECT_EQ(world.stats().sessions, 0u);
  EXPECT_EQ(world.stats().registrations, 0u);
  EXPECT_EQ(world.stats().leases, 0u);
  world.engine().CheckInvariants();
}

TEST(Closing, LeavesTheCache) {
  World world;
  const SessionId session = world.Open();
  const Chain chain(1, 10);
  world.SaveAll(session, world.JoinPlain(session), chain);
  world.Close(session);
  world.RunTicks();
  const SessionId next = world.Open();
  EXPECT_EQ(world.Hit(next, world.JoinPlain(next), chain.list()), 10u);
}

TEST(Closing, AnswersNobodyWhoIsGone) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  world.SubmitSave(session, rank, Chain(1, 100));
  world.Close(session);
  const RequestId late = world.SubmitSave(session, rank, Chain(2, 1));
  EXPECT_EQ(world.CodeOf(session, late), Errc::kNotFound);
  world.Quiet();
  EXPECT_TRUE(world.replies().empty());
  EXPECT_EQ(world.gone().size(), 1u);
}

TEST(Closing, DropsABufferOnlyWhenNoTicketNamesIt) {
  World world;
  const SessionId session = world.Open();
  const uint32_t one = world.JoinPlain(session), two = world.JoinPlain(session);
  const Chain chain(1, 10);
  const RequestId save = world.SubmitSave(session, one, chain);
  world.Apply(Unregister{session, 9000, one});
  EXPECT_FALSE(world.Answered(session, 9000));
  world.Apply(Unregister{session, 9001, one});
  EXPECT_EQ(world.CodeOf(session, 9001), Errc::kNotFound);
  world.Complete(world.copies().begin()->first, Errc::kCancelled);
  EXPECT_EQ(world.dropped().size(), 1u);
  EXPECT_EQ(world.CodeOf(session, save), Errc::kCancelled);
  EXPECT_EQ(world.CodeOf(session, 9000), Errc::kOk);
  EXPECT_EQ(world.SaveAll(session, two, chain).stored, 10u);
}

TEST(Closing, AnswersAnUnregisterOfAnIdleRegistrationAtOnce) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  world.Apply(Unregister{session, 9000, rank});
  EXPECT_EQ(world.CodeOf(session, 9000), Errc::kOk);
  EXPECT_EQ(world.dropped().size(), 1u);
  const SessionId other = world.Open();
  world.Apply(Unregister{other, 9000, rank});
  EXPECT_EQ(world.CodeOf(other, 9000), Errc::kNotFound);
}

TEST(Closing, EndsThousandsOfThingsBySlices) {
  World world({.pages = 40});
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 10);
  world.SaveAll(session, rank, chain);
  for (uint64_t i = 0; i < 1000; ++i) {
    world.AskItem(session, rank, {.hashes = chain.list(), .want_lease = true, .want_handle = true});
    world.SubmitSave(session, rank, Chain(i + 10, 1));
  }
  for (int i = 0; i < 100; ++i) world.JoinPlain(session);
  world.Close(session);
  EXPECT_GT(world.stats().leases, 500u);
  world.Quiet();
  EXPECT_EQ(world.gone().size(), 1u);
  EXPECT_EQ(world.dropped().size(), 101u);
  EXPECT_EQ(world.stats().handles, 0u);
  EXPECT_EQ(world.stats().leases_hung_up, 1000u);
  world.engine().CheckInvariants();
}

TEST(Closing, DoesNotDisturbOtherSessions) {
  World world;
  const SessionId a = world.Open(), b = world.Open();
  const uint32_t rank_a = world.JoinPlain(a), rank_b = world.JoinPlain(b);
  const Chain chain(1, 10);
  world.SubmitSave(a, rank_a, chain);
  const RequestId save = world.SubmitSave(b, rank_b, Chain(2, 10));
  world.Close(a);
  world.Quiet();
  EXPECT_EQ(world.CodeOf(b, save), Errc::kOk);
}

TEST(Closing, RefusesASecondSessionOfTheSameNumberAndTooMany) {
  WorldOptions options;
  options.limits.max_sessions = 2;
  World world(options);
  const SessionId a = world.Open();
  world.Apply(OpenSession{a, "x", "", 0});
  EXPECT_EQ(world.CodeOf(a, 0), Errc::kExists);
  world.Open();
  EXPECT_EQ(world.CodeOf(world.Open(), 0), Errc::kLimit);
  EXPECT_EQ(world.stats().limit_sessions, 1u);
}

}  // namespace
}  // namespace headrace::engine
