// One core from save to load, and what does not belong to one part alone.
#include "engine/engine.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

TEST(Engine, SavesBlocksAndLoadsThemBackFromTheSameSlots) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 20);
  const RequestId save = world.SubmitSave(session, rank, chain, {.blocks = Ids(20, 100)});
  std::map<uint32_t, std::pair<uint32_t, uint64_t>> where;  // engine block -> region, offset
  for (const auto& [ticket, job] : world.copies()) {
    EXPECT_EQ(job.direction, wire::Direction::kSave);
    for (const auto& copy : job.blocks) where[copy.block] = {copy.region, copy.slot_offset};
  }
  EXPECT_EQ(where.size(), 20u);
  world.Quiet();
  EXPECT_EQ(std::get<wire::SaveReply>(world.Answer(session, save).body).stored, 20u);

  const auto answer = world.Ask(session, rank, chain.list(), true);
  ASSERT_EQ(answer.hit_blocks, 20u);
  const RequestId load = world.SubmitLoad(session, rank, answer.lease, 0, {Ids(20, 500)});
  for (const auto& [ticket, job] : world.copies()) {
    EXPECT_EQ(job.direction, wire::Direction::kLoad);
    for (const auto& copy : job.blocks) {
      EXPECT_EQ(where[copy.block - 400], std::pair(copy.region, copy.slot_offset));
    }
  }
  world.Quiet();
  const Reply reply = world.Answer(session, load);
  EXPECT_EQ(reply.error.code, Errc::kOk);
  EXPECT_EQ(std::get<wire::LoadReply>(reply.body).loaded, 20u);
  EXPECT_EQ(std::get<wire::LoadReply>(reply.body).bytes, 20u * 4096);
  world.engine().CheckInvariants();
}

TEST(Engine, WritesHeadersCompleteOnlyAfterTheCopy) {
  World world;
  const SessionId session = world.Open("instance", "", 42);
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 2);
  world.SubmitSave(session, rank, chain);
  const auto filling = std::count_if(
      world.meta().slots().begin(), world.meta().slots().end(),
      [](const auto& header) { return wire::LoadState(header) == wire::SlotState::kFilling; });
  EXPECT_EQ(filling, 2);
  world.Quiet();
  uint32_t complete = 0;
  for (auto& header : world.meta().slots()) {
    if (wire::LoadState(header) != wire::SlotState::kComplete) continue;
    ++complete;
    const uint32_t check = header.header_check;
    wire::SealHeader(&header);
    EXPECT_EQ(header.header_check, check);
    EXPECT_EQ(header.writer_uid, 42u);
    EXPECT_EQ(header.payload_bytes, 4096u);
    EXPECT_EQ(header.parent_bytes, header.depth == 0 ? 0 : 32);
  }
  EXPECT_EQ(complete, 2u);
}

TEST(Engine, CopiesAPartOnlyOnceForAllWhoSaveIt) {
  World world;
  const SessionId a = world.Open("a"), b = world.Open("b");
  const uint32_t rank_a = world.JoinPlain(a), rank_b = world.JoinPlain(b);
  const Chain chain(1, 10);
  const RequestId first = world.SubmitSave(a, rank_a, chain);
  const RequestId second = world.SubmitSave(b, rank_b, chain);  // the first is not done
  world.Quiet();
  EXPECT_EQ(std::get<wire::SaveReply>(world.Answer(a, first).body).stored, 10u);
  EXPECT_EQ(std::get<wire::SaveReply>(world.Answer(b, second).body).deduped, 10u);
  EXPECT_EQ(world.SaveAll(a, rank_a, chain).deduped, 10u);
  EXPECT_EQ(world.stats().used_bytes, 10u * 4096);
  EXPECT_EQ(world.Hit(b, rank_b, chain.list()), 10u);
}

TEST(Engine, NeverMixesTwoNamespacesWithTheSameHashes) {
  World world;
  const SessionId session = world.Open();
  const uint32_t one = world.JoinPlain(session, "one"), two = world.JoinPlain(session, "two");
  const Chain chain(1, 5);
  world.SaveAll(session, one, chain);
  EXPECT_EQ(world.Hit(session, two, chain.list()), 0u);
  const auto answer = world.Ask(session, one, chain.list(), true);
  const RequestId load = world.SubmitLoad(session, two, answer.lease, 0, {Ids(5)});
  EXPECT_EQ(world.CodeOf(session, load), Errc::kPermission);
}

TEST(Engine, RefusesWhatConcernsNoSessionOrRegistration) {
  World world;
  const wire::Query query{.registration = 5};
  world.Apply(Query{77, 1, &query});
  EXPECT_EQ(world.CodeOf(77, 1), Errc::kNotFound);
  const SessionId session = world.Open(), other = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  world.Apply(Query{other, 2, &query});
  EXPECT_EQ(world.CodeOf(other, 2), Errc::kNotFound);
  const wire::Query foreign{.registration = rank};
  world.Apply(Query{other, 3, &foreign});
  EXPECT_EQ(world.CodeOf(other, 3), Errc::kNotFound);
}

TEST(Engine, ServesAPoolWithoutPages) {
  World world({.pages = 0});
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 5);
  EXPECT_EQ(world.SaveAll(session, rank, chain).refused, 5u);
  EXPECT_EQ(world.Hit(session, rank, chain.list()), 0u);
  world.engine().CheckInvariants();
}

TEST(Engine, RefusesLimitsThatContradictThemselves) {
  std::vector<uint8_t> memory(PoolShape{}.MetaBytes());
  auto meta = PoolMeta::Format(memory, PoolShape{}, 1);
  ASSERT_TRUE(meta.has_value());
  Limits limits;
  limits.low_water = 0.99;
  EXPECT_EQ(Engine::Create(*meta, {.limits = limits}).error().code, Errc::kInvalid);
  limits = {};
  limits.slice_blocks = 0;
  EXPECT_EQ(Engine::Create(*meta, {.limits = limits}).error().code, Errc::kInvalid);
}

TEST(Engine, TellsWhatBecameVisibleAndWhatWentInOrder) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 3);
  world.SaveAll(session, rank, chain, {.lora = 9, .tokens = Ids(48, 7)});
  ASSERT_EQ(world.stored().size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) {
    const BlockStored& event = world.stored()[i];
    EXPECT_EQ(event.hash, chain[i]);
    EXPECT_EQ(event.depth, i);
    EXPECT_EQ(event.parent, i == 0 ? BlockHash{} : chain[i - 1]);
    EXPECT_EQ(event.lora_id, 9u);
    EXPECT_EQ(event.tokens, Ids(16, 7 + 16 * i));
  }
  world.ClearAll(session, rank);
  world.RunTicks();
  ASSERT_EQ(world.removed().size(), 3u);
  EXPECT_EQ(world.removed()[0].hash, chain[2]);  // leaves first
  EXPECT_EQ(world.removed()[0].reason, RemoveReason::kCleared);
}

TEST(Engine, TellsTheEndOfAClearedBlockBeforeItIsStoredAgain) {
  // Small slices: what a clear left behind goes slower than the same blocks come again.
  for (const Limits& limits : {Limits{.slice_sweep = 1}, Limits{.slice_units = 1},
                               Limits{.slice_units = 2, .slice_sweep = 256}}) {
    World world({.limits = limits});
    const SessionId session = world.Open();
    const uint32_t rank = world.JoinPlain(session);
    const Chain chain(1, 32);
    for (int round = 0; round < 3; ++round) {
      world.SaveAll(session, rank, chain);
      world.ClearAll(session, rank);
    }
    EXPECT_LT(world.removed().size(), 96u);
    world.RunTicks();
    EXPECT_EQ(world.stored().size(), 96u);
    EXPECT_EQ(world.removed().size(), 96u);
    EXPECT_EQ(world.engine().stats().blocks_visible, 0u);
  }
}

TEST(Engine, TellsTheEndOfAClearedBlockAlsoWhenOnlyItsFamilyWaits) {
  World world({.limits = {.slice_units = 2}});
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  world.SaveAll(session, rank, Chain(1, 60));
  world.ClearAll(session, rank);
  for (int i = 0; i < 24; ++i) world.Apply(Tick{});  // the sweep saw all; parents go one by one
  EXPECT_GT(world.stats().blocks_visible, 20u);
  world.SaveAll(session, rank, Chain(1, 2));
  world.RunTicks();
  EXPECT_EQ(world.stored().size(), 62u);
  EXPECT_EQ(world.removed().size(), 60u);
}

TEST(Engine, TellsWhenATickIsNeededNext) {
  World world;
  EXPECT_FALSE(world.engine().NextDeadline().has_value());
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 3);
  world.SubmitSave(session, rank, chain, {.timeout = milliseconds(5)});
  ASSERT_TRUE(world.engine().NextDeadline().has_value());
  EXPECT_EQ(*world.engine().NextDeadline(), world.now() + milliseconds(5));
  world.Quiet();
  EXPECT_FALSE(world.engine().NextDeadline().has_value());
  world.Ask(session, rank, chain.list(), true);
  EXPECT_EQ(*world.engine().NextDeadline(), world.now() + Limits{}.max_lease);
}

}  // namespace
}  // namespace headrace::engine
