#include "engine/save_worker.h"

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Plain {
  explicit Plain(const WorldOptions& options = {}) : world(options) {
    session = world.Open();
    rank = world.JoinPlain(session);
  }
  Errc CodeOf(const wire::Save& save) {
    const RequestId request = world.SubmitChains(session, save);
    world.Quiet();
    return world.CodeOf(session, request);
  }
  wire::Save Message(const Chain& chain) {
    wire::Save save{.registration = rank};
    save.chains.resize(1);
    save.chains[0].hashes = chain.list();
    save.chains[0].blocks = Ids(chain.size());
    return save;
  }
  World world;
  SessionId session = 0;
  uint32_t rank = 0;
};

TEST(SaveWorker, RefusesMessagesThatMakeNoSense) {
  Plain p;
  const Chain chain(1, 3);
  const auto refused = [&](auto change) {
    wire::Save save = p.Message(chain);
    change(&save.chains[0]);
    return p.CodeOf(save);
  };
  EXPECT_EQ(refused([](auto* c) { c->group = 1; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* c) { c->blocks.pop_back(); }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* c) { c->blocks[1] = 1u << 20; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* c) { c->depth = 4; }), Errc::kInvalid);
  EXPECT_EQ(refused([&](auto* c) { c->parent = chain[0]; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* c) { c->tokens = {1, 2, 3}; }), Errc::kInvalid);
  EXPECT_EQ(refused([](auto* c) { c->hashes = {c->hashes.raw().data(), 0, 3}; }), Errc::kInvalid);
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  EXPECT_EQ(p.CodeOf(p.Message(chain)), Errc::kOk);
}

TEST(SaveWorker, RefusesASchedulersSave) {
  Plain p;
  const uint32_t scheduler = p.world.Joined(p.session, p.world.Spec("ns"));
  wire::Save save = p.Message(Chain(1, 3));
  save.registration = scheduler;
  EXPECT_EQ(p.CodeOf(save), Errc::kInvalid);
}

TEST(SaveWorker, HandsALongSaveOutBySlices) {
  Plain p({.pages = 40});
  const Chain chain(1, 200);
  p.world.SubmitSave(p.session, p.rank, chain);
  EXPECT_LE(p.world.stats().copies_in_flight, Limits{}.slice_blocks);
  EXPECT_EQ(p.world.stats().requests_waiting, 1u);
  p.world.Quiet();
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 200u);
}

TEST(SaveWorker, NeverHasMoreCopiesInFlightThanTheLimit) {
  WorldOptions options{.pages = 40};
  options.limits.max_copies_in_flight = 40;
  Plain p(options);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    p.world.SubmitSave(p.session, p.rank, Chain(seed, 60));
    for (int i = 0; i < 50; ++i) p.world.Apply(Tick{});
    EXPECT_LE(p.world.stats().copies_in_flight, 40u);
  }
  EXPECT_EQ(p.world.stats().copies_in_flight, 40u);
  EXPECT_FALSE(p.world.engine().HasWork());  // only movers can help now
  p.world.Quiet();
  EXPECT_EQ(p.world.stats().saved_blocks, 300u);
}

TEST(SaveWorker, ReadsAnOwnedMessageWithoutACopy) {
  Plain p({.pages = 40});
  struct Frame {
    Chain chain{1, 150};
    wire::Save save;
  };
  auto frame = std::make_shared<Frame>();
  frame->save = p.Message(frame->chain);
  const std::weak_ptr<Frame> watched = frame;
  p.world.Apply(Save{p.session, 9000, &frame->save, frame});
  const Chain chain = frame->chain;
  frame.reset();
  EXPECT_FALSE(watched.expired());
  p.world.Quiet();
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 150u);
}

TEST(SaveWorker, CountsEveryBlockOnce) {
  Plain p(World::Brim(1));  // 16 slots
  const Chain chain(1, 24);
  const auto reply = p.world.SaveAll(p.session, p.rank, chain);
  EXPECT_EQ(reply.stored, 16u);
  EXPECT_EQ(reply.refused, 8u);  // nothing may go: all the rest is this chain's beginning
  const auto again = p.world.SaveAll(p.session, p.rank, chain);
  EXPECT_EQ(again.deduped, 16u);
  EXPECT_EQ(again.refused, 8u);
}

TEST(SaveWorker, FreesTheSlotsOfAFailedCopyOnlyAfterItsFence) {
  Plain p;
  const Chain chain(1, 5);
  const RequestId save = p.world.SubmitSave(p.session, p.rank, chain);
  p.world.Apply(Cancel{p.session, save});
  EXPECT_EQ(p.world.cancelled().size(), 1u);
  EXPECT_EQ(p.world.stats().used_bytes, 5u * 4096);
  EXPECT_FALSE(p.world.Answered(p.session, save));
  p.world.Complete(p.world.copies().begin()->first, Errc::kCancelled);
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  const Reply reply = p.world.Answer(p.session, save);
  EXPECT_EQ(reply.error.code, Errc::kCancelled);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).failed, 5u);
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 0u);
}

TEST(SaveWorker, KeepsWhatWasCopiedBeforeTheCancelReachedTheMover) {
  Plain p;
  const Chain chain(1, 5);
  const RequestId save = p.world.SubmitSave(p.session, p.rank, chain);
  p.world.Apply(Cancel{p.session, save});
  p.world.Complete(p.world.copies().begin()->first);
  const Reply reply = p.world.Answer(p.session, save);
  EXPECT_EQ(reply.error.code, Errc::kOk);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).stored, 5u);
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 5u);
}

TEST(SaveWorker, ReportsAMoversFaultAndStopsTheChain) {
  Plain p({.pages = 40});
  const Chain chain(1, 100);
  const RequestId save = p.world.SubmitSave(p.session, p.rank, chain);
  p.world.Complete(p.world.copies().begin()->first, Errc::kIo);
  p.world.Quiet();
  const Reply reply = p.world.Answer(p.session, save);
  EXPECT_EQ(reply.error.code, Errc::kIo);
  const auto& counts = std::get<wire::SaveReply>(reply.body);
  EXPECT_EQ(counts.stored + counts.failed, 100u);
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 0u);
  p.world.Advance(Limits{}.max_hidden);
  p.world.RunTicks();
  EXPECT_EQ(p.world.stats().used_bytes, 0u);
  p.world.engine().CheckInvariants();
}

TEST(SaveWorker, EndsAtItsDeadlineButAnswersAfterTheFence) {
  Plain p;
  const Chain chain(1, 5);
  const RequestId save = p.world.SubmitSave(p.session, p.rank, chain, {.timeout = milliseconds(3)});
  p.world.Advance(milliseconds(3));
  p.world.Apply(Tick{});
  EXPECT_EQ(p.world.cancelled().size(), 1u);
  EXPECT_FALSE(p.world.Answered(p.session, save));
  p.world.Complete(p.world.copies().begin()->first, Errc::kCancelled);
  EXPECT_EQ(p.world.CodeOf(p.session, save), Errc::kTimeout);
}

TEST(SaveWorker, RefusesABlockAtAnotherPlace) {
  Plain p;
  const Chain chain(1, 6);
  p.world.SaveAll(p.session, p.rank, chain);
  wire::Save save = p.Message(chain);
  save.chains[0].hashes = chain.part(2, 3);  // as if they began a sequence
  save.chains[0].blocks = Ids(3);
  const RequestId request = p.world.SubmitChains(p.session, save);
  p.world.Quiet();
  const Reply reply = p.world.Answer(p.session, request);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).refused, 3u);
  EXPECT_EQ(p.world.Hit(p.session, p.rank, chain.list()), 6u);
  p.world.engine().CheckInvariants();
}

TEST(SaveWorker, SurvivesAChainThatNamesItsOwnBlocksAsParents) {
  Plain p;
  Chain chain(1, 4);
  std::copy_n(chain.bytes().begin(), 32, chain.bytes().begin() + 96);  // hash 3 is hash 0
  EXPECT_EQ(p.world.SaveAll(p.session, p.rank, chain).refused, 1u);
  wire::Save save = p.Message(chain);
  save.chains[0].depth = 1;
  save.chains[0].parent = chain[0];  // hashes[0] follows itself
  p.CodeOf(save);
  p.world.engine().CheckInvariants();
}

TEST(SaveWorker, IgnoresCompletionsOfTicketsThatAreOver) {
  Plain p;
  p.world.SubmitSave(p.session, p.rank, Chain(1, 3));
  const Ticket ticket = p.world.copies().begin()->first;
  p.world.Quiet();
  p.world.Apply(Completion{{ticket, 0, Errc::kIo}});
  p.world.Apply(Completion{{0, 0, Errc::kOk}});
  p.world.Apply(Completion{{~0ull, 0, Errc::kOk}});
  EXPECT_EQ(p.world.stats().late_completions, 3u);
  EXPECT_EQ(p.world.stats().blocks_visible, 3u);
  p.world.engine().CheckInvariants();
}

TEST(SaveWorker, LimitsTheRequestsOfASession) {
  WorldOptions options;
  options.limits.max_requests_per_session = 2;
  Plain p(options);
  p.world.SubmitSave(p.session, p.rank, Chain(1, 1));
  p.world.SubmitSave(p.session, p.rank, Chain(2, 1));
  const RequestId third = p.world.SubmitSave(p.session, p.rank, Chain(3, 1));
  EXPECT_EQ(p.world.CodeOf(p.session, third), Errc::kLimit);
  EXPECT_EQ(p.world.stats().limit_requests, 1u);
}

}  // namespace
}  // namespace headrace::engine
