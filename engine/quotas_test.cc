#include "engine/quotas.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

TEST(Quotas, AnInstanceOverItsBytesPaysWithItsOwnColdestBlocks) {
  WorldOptions options;
  options.limits.instance_max_bytes = 10 * 4096;
  World world(options);
  const SessionId a = world.Open("a"), b = world.Open("b");
  const uint32_t rank_a = world.JoinPlain(a), rank_b = world.JoinPlain(b);
  const Chain others(1, 8), mine(2, 8), more(3, 6);
  world.SaveAll(b, rank_b, others);
  world.Advance(microseconds(1));
  world.SaveAll(a, rank_a, mine);
  world.Advance(microseconds(1));
  EXPECT_EQ(world.SaveAll(a, rank_a, more).stored, 6u);
  EXPECT_EQ(world.Hit(a, rank_a, others.list()), 8u);  // though they are colder
  EXPECT_EQ(world.Hit(a, rank_a, mine.list()), 4u);
  EXPECT_EQ(world.Hit(a, rank_a, more.list()), 6u);
}

TEST(Quotas, AnInstanceWithNothingToGiveIsRefused) {
  WorldOptions options;
  options.limits.instance_max_bytes = 5 * 4096;
  World world(options);
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const auto reply = world.SaveAll(session, rank, Chain(1, 8));
  EXPECT_EQ(reply.stored, 5u);
  EXPECT_EQ(reply.refused, 3u);
  EXPECT_EQ(world.stats().limit_instance_bytes, 1u);
  EXPECT_EQ(world.stats().limit_hits, 1u);
}

TEST(Quotas, ATenantsInstancesShareItsCap) {
  WorldOptions options;
  options.limits.tenant_max_bytes = 10 * 4096;
  World world(options);
  const SessionId a = world.Open("a", "t"), b = world.Open("b", "t"), c = world.Open("c", "u");
  const uint32_t rank_a = world.JoinPlain(a), rank_b = world.JoinPlain(b);
  const uint32_t rank_c = world.JoinPlain(c);
  const Chain first(1, 8), second(2, 8), third(3, 8);
  world.SaveAll(a, rank_a, first);
  world.Advance(microseconds(1));
  EXPECT_EQ(world.SaveAll(b, rank_b, second).stored, 8u);
  EXPECT_EQ(world.SaveAll(c, rank_c, third).stored, 8u);
  EXPECT_EQ(world.Hit(a, rank_a, first.list()), 2u);
  EXPECT_EQ(world.Hit(a, rank_a, second.list()), 8u);
}

TEST(Quotas, SavesASecondAreLimited) {
  WorldOptions options;
  options.limits.instance_max_saves_per_second = 10;
  World world(options);
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  EXPECT_EQ(world.SaveAll(session, rank, Chain(1, 15)).stored, 10u);
  EXPECT_EQ(world.SaveAll(session, rank, Chain(2, 5)).refused, 5u);
  EXPECT_EQ(world.stats().limit_save_rate, 2u);
  world.Advance(milliseconds(300));
  EXPECT_EQ(world.SaveAll(session, rank, Chain(2, 5)).stored, 3u);
  EXPECT_EQ(world.SaveAll(session, rank, Chain(1, 10)).deduped, 10u);  // costs nothing
}

TEST(Quotas, BytesOfAnEndedInstanceStayItsOwn) {
  WorldOptions options;
  options.limits.instance_max_bytes = 10 * 4096;
  World world(options);
  const SessionId first = world.Open("a");
  world.SaveAll(first, world.JoinPlain(first), Chain(1, 10));
  world.Close(first);
  world.RunTicks();
  const SessionId second = world.Open("a");
  const uint32_t rank = world.JoinPlain(second);
  EXPECT_EQ(world.SaveAll(second, rank, Chain(2, 10)).stored, 10u);
  EXPECT_EQ(world.stats().used_bytes, 10u * 4096);
}

TEST(Quotas, InstancesAreLimitedAndComeFreeAgain) {
  WorldOptions options;
  options.limits.max_instances = 2;
  World world(options);
  const SessionId a = world.Open("a"), b = world.Open("b");
  const SessionId c = world.Open("c");
  const Reply refused = world.Answer(c, 0);
  EXPECT_EQ(refused.type, wire::MessageType::kHello);
  EXPECT_EQ(refused.error.code, Errc::kLimit);
  EXPECT_EQ(world.stats().limit_instances, 1u);
  world.Open("a");
  world.Close(b);
  world.RunTicks();
  const SessionId again = world.Open("c");
  EXPECT_FALSE(world.Answered(again, 0));
  EXPECT_NE(a, b);
}

TEST(Quotas, RefusesNamesThatAreTooLong) {
  World world;
  const SessionId session = world.Open(std::string(257, 'x'));
  EXPECT_EQ(world.CodeOf(session, 0), Errc::kInvalid);
}

}  // namespace
}  // namespace headrace::engine
