#include "engine/leasing.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Leased {
  explicit Leased(const WorldOptions& options = {}, uint32_t consumers = 1) : world(options) {
    session = world.Open();
    rank = world.JoinPlain(session);
    world.SaveAll(session, rank, chain);
    lease =
        world.AskItem(session, rank, {.hashes = chain.list(), .want_lease = true}, consumers).lease;
  }
  Errc Load(SessionId by, uint32_t with, uint32_t first = 0, uint32_t count = 10) {
    return world.LoadAll(by, with, lease, first, count).error.code;
  }
  World world;
  Chain chain{1, 10};
  SessionId session = 0;
  uint32_t rank = 0;
  uint64_t lease = 0;
};

TEST(Leasing, RefusesALoadWithoutALease) {
  Leased l;
  l.lease = 0;
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kNotFound);
  l.lease = 12345;
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kNotFound);
}

TEST(Leasing, IsConsumedByAsManyLoadsAsItHasConsumers) {
  Leased l({}, 2);
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kOk);
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kOk);
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kGone);
  EXPECT_EQ(l.world.stats().leases, 0u);
}

TEST(Leasing, ServesOtherSessionsOfTheInstance) {
  Leased l;
  const SessionId same = l.world.Open("a");
  const uint32_t rank = l.world.JoinPlain(same);
  EXPECT_EQ(l.Load(same, rank), Errc::kOk);
}

TEST(Leasing, RefusesAnotherInstance) {
  Leased l;
  const SessionId other = l.world.Open("b");
  const uint32_t rank = l.world.JoinPlain(other);
  EXPECT_EQ(l.Load(other, rank), Errc::kPermission);
  const SessionId tenant = l.world.Open("a", "another tenant");
  EXPECT_EQ(l.Load(tenant, l.world.JoinPlain(tenant)), Errc::kPermission);
}

TEST(Leasing, IsGoneAfterRelease) {
  Leased l;
  const wire::Release release{.leases = {l.lease, 999}};
  l.world.Apply(Release{l.session, &release});
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kGone);
  EXPECT_EQ(l.world.stats().leases_released, 1u);
}

TEST(Leasing, IsGoneAfterItsTime) {
  Leased l;
  l.world.Advance(Limits{}.max_lease);
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kGone);
  EXPECT_EQ(l.world.stats().leases_expired, 1u);
}

TEST(Leasing, LastsWhileALoadUnderItRuns) {
  WorldOptions options;
  options.limits.max_lease = milliseconds(10);
  Leased l(options, 2);
  const RequestId load = l.world.SubmitLoad(l.session, l.rank, l.lease, 0, {Ids(10)});
  l.world.Advance(milliseconds(50));
  l.world.RunTicks();
  EXPECT_EQ(l.world.stats().leases, 1u);
  l.world.Quiet();
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kOk);
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kOk);
}

TEST(Leasing, EndsWithTheSessionThatWasGrantedIt) {
  Leased l;
  const SessionId same = l.world.Open("a");
  const uint32_t rank = l.world.JoinPlain(same);
  l.world.Close(l.session);
  EXPECT_EQ(l.Load(same, rank), Errc::kGone);
  EXPECT_EQ(l.world.stats().leases_hung_up, 1u);
  EXPECT_EQ(l.world.stats().leased_bytes, 0u);
}

TEST(Leasing, IsGoneAfterAClear) {
  Leased l;
  l.world.ClearAll(l.session, l.rank);
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kGone);
  l.world.RunTicks();
  EXPECT_EQ(l.world.stats().leases, 0u);
}

TEST(Leasing, RefusesPositionsBeyondWhatItCovers) {
  Leased l;
  EXPECT_EQ(l.Load(l.session, l.rank, 5, 6), Errc::kInvalid);
  EXPECT_EQ(l.Load(l.session, l.rank, 11, 1), Errc::kInvalid);
  EXPECT_EQ(l.Load(l.session, l.rank, 4, 6), Errc::kOk);
}

TEST(Leasing, RefusesAWrongNumberOfGroups) {
  Leased l;
  const RequestId load = l.world.SubmitLoad(l.session, l.rank, l.lease, 0, {Ids(10), Ids(10)});
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kInvalid);
}

TEST(Leasing, RefusesBlockIdsBeyondTheBuffer) {
  Leased l;
  const RequestId load = l.world.SubmitLoad(l.session, l.rank, l.lease, 0, {Ids(10, 1u << 20)});
  EXPECT_EQ(l.world.CodeOf(l.session, load), Errc::kInvalid);
}

TEST(Leasing, IsNotGrantedForWhatTheEngineHasItself) {
  Leased l;
  const auto answer = l.world.AskItem(
      l.session, l.rank, {.hashes = l.chain.list(), .want_lease = true, .min_blocks = 10});
  EXPECT_EQ(answer.hit_blocks, 10u);
  EXPECT_EQ(answer.lease, 0u);
}

TEST(Leasing, IsNotGrantedAfterTheQuestionsDeadline) {
  Leased l;
  const wire::Query query{.registration = l.rank,
                          .deadline = ToWire(l.world.now()) - 1,
                          .items = {{.hashes = l.chain.list(), .want_lease = true}}};
  l.world.Apply(Query{l.session, 9000, &query});
  const auto reply = l.world.Answer(l.session, 9000);
  const auto& answer = std::get<wire::QueryReply>(reply.body).answers.at(0);
  EXPECT_EQ(answer.lease, 0u);
  EXPECT_EQ(answer.hit_blocks, 0u);
  EXPECT_EQ(answer.code, Errc::kTimeout);
}

TEST(Leasing, KeepsBlocksThroughAFillOfFourTimesThePool) {
  Leased l(World::Brim(2));
  for (uint64_t seed = 10; seed < 26; ++seed) {
    l.world.Advance(milliseconds(1));
    l.world.SaveAll(l.session, l.rank, Chain(seed, 8));
  }
  EXPECT_EQ(l.Load(l.session, l.rank), Errc::kOk);
  l.world.engine().CheckInvariants();
}

TEST(Leasing, IsLimitedInNumberPerSession) {
  WorldOptions options;
  options.limits.max_leases_per_session = 2;
  Leased l(options);
  EXPECT_NE(l.world.Ask(l.session, l.rank, l.chain.list(), true).lease, 0u);
  const auto third = l.world.Ask(l.session, l.rank, l.chain.list(), true);
  EXPECT_EQ(third.lease, 0u);
  EXPECT_EQ(third.hit_blocks, 0u);
  EXPECT_EQ(third.code, Errc::kLimit);
  EXPECT_EQ(l.world.stats().limit_leases, 1u);
}

TEST(Leasing, IsLimitedInItsShareOfThePool) {
  WorldOptions options{.pages = 2};  // 32 slots
  options.limits.instance_max_leased = 0.5;
  World world(options);
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain one(1, 14), two(2, 14);
  world.SaveAll(session, rank, one);
  world.SaveAll(session, rank, two);
  EXPECT_EQ(world.Ask(session, rank, one.list(), true).hit_blocks, 14u);
  EXPECT_EQ(world.stats().leased_bytes, 14u * 4096);
  EXPECT_EQ(world.Ask(session, rank, one.list(), true).hit_blocks, 14u);  // pins nothing more
  EXPECT_EQ(world.Ask(session, rank, two.list(), true).hit_blocks, 0u);
  EXPECT_EQ(world.stats().limit_leased, 1u);
}

TEST(Leasing, EndsThousandsAtOnceBySlices) {
  Leased l;
  for (int i = 0; i < 3000; ++i) l.world.Ask(l.session, l.rank, l.chain.list(), true);
  EXPECT_EQ(l.world.stats().leases, 3001u);
  l.world.Advance(seconds(61));
  l.world.Apply(Tick{});
  EXPECT_GT(l.world.stats().leases, 2000u);
  EXPECT_TRUE(l.world.engine().HasWork());
  l.world.RunTicks();
  EXPECT_EQ(l.world.stats().leases, 0u);
  EXPECT_EQ(l.world.stats().leased_bytes, 0u);
}

}  // namespace
}  // namespace headrace::engine
