#include "engine/prefix_query.h"

#include <algorithm>

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Plain {
  World world;
  SessionId session = world.Open();
  uint32_t rank = world.JoinPlain(session);
  uint32_t Hit(const HashList& hashes) { return world.Hit(session, rank, hashes); }
};

TEST(PrefixQuery, CountsAllOfAChainThatIsThere) {
  Plain p;
  const Chain chain(1, 33);
  p.world.SaveAll(p.session, p.rank, chain);
  for (uint32_t n = 0; n <= 33; ++n) EXPECT_EQ(p.Hit(chain.part(0, n)), n);
}

TEST(PrefixQuery, CountsNothingOfAnUnknownChain) {
  Plain p;
  p.world.SaveAll(p.session, p.rank, Chain(1, 10));
  EXPECT_EQ(p.Hit(Chain(2, 10).list()), 0u);
}

TEST(PrefixQuery, AnswersAnEmptyListWithZero) {
  Plain p;
  EXPECT_EQ(p.Hit({}), 0u);
}

TEST(PrefixQuery, FindsTheLengthOfAPartialHit) {
  Plain p;
  const Chain chain(1, 60);
  p.world.SaveAll(p.session, p.rank, chain, {.count = 37});
  EXPECT_EQ(p.Hit(chain.list()), 37u);
}

TEST(PrefixQuery, CountsNothingWhenTheFirstBlockIsMissing) {
  Plain p;
  const Chain chain(1, 10);
  p.world.SaveAll(p.session, p.rank, chain, {.from = 1});
  EXPECT_EQ(p.Hit(chain.list()), 0u);
}

TEST(PrefixQuery, NeverCountsBeyondAGap) {
  Plain p;
  const Chain chain(1, 10);
  p.world.SaveAll(p.session, p.rank, chain, {.count = 4});
  p.world.SaveAll(p.session, p.rank, chain, {.from = 5});
  EXPECT_EQ(p.Hit(chain.list()), 4u);
}

TEST(PrefixQuery, CutsAListThatIsNoChainWhereItBreaks) {
  Plain p;
  const Chain chain(1, 20);
  p.world.SaveAll(p.session, p.rank, chain);
  for (uint32_t broken = 0; broken < 20; ++broken) {
    Chain list = chain;
    list.bytes()[broken * 32 + 31] ^= 1;
    EXPECT_EQ(p.Hit(list.list()), broken);
    EXPECT_EQ(p.world.engine().LinearHit(0, list.list()), broken);
  }
}

TEST(PrefixQuery, CutsAListWhoseBlocksChangedPlacesAtTheFirstOfThem) {
  Plain p;
  const Chain chain(1, 48);
  p.world.SaveAll(p.session, p.rank, chain);
  for (uint32_t first = 0; first < 47; ++first) {
    for (uint32_t second = first + 1; second < 48; ++second) {
      Chain list = chain;
      uint8_t* bytes = list.bytes().data();
      std::swap_ranges(bytes + first * 32, bytes + first * 32 + 32, bytes + second * 32);
      EXPECT_EQ(p.Hit(list.list()), first) << second;
    }
  }
}

TEST(PrefixQuery, DoesNotStartInTheMiddleOfAChain) {
  Plain p;
  const Chain chain(1, 20);
  p.world.SaveAll(p.session, p.rank, chain);
  EXPECT_EQ(p.Hit(chain.part(3, 10)), 0u);
}

TEST(PrefixQuery, TellsShortHashesFromLongerOnesWithTheSameBeginning) {
  Plain p;
  Chain chain(1, 1);
  std::fill(chain.bytes().begin() + 16, chain.bytes().end(), uint8_t{0});
  p.world.SaveAll(p.session, p.rank, chain);
  EXPECT_EQ(p.Hit(chain.list()), 1u);
  EXPECT_EQ(p.Hit({chain.list().raw().data(), 16, 1}), 0u);
}

TEST(PrefixQuery, NeedsThePartsOfAllRanks) {
  World world;
  const SessionId session = world.Open();
  const auto groups = std::vector{GroupOf(wire::GroupKind::kFull, 4096)};
  const uint32_t r0 = world.Joined(session, world.Spec("tp", groups, 0, 2));
  const uint32_t r1 = world.Joined(session, world.Spec("tp", groups, 1, 2));
  const Chain chain(1, 10);
  world.SaveAll(session, r0, chain);
  EXPECT_EQ(world.Hit(session, r0, chain.list()), 0u);
  world.SaveAll(session, r1, chain, {.count = 6});
  EXPECT_EQ(world.Hit(session, r0, chain.list()), 6u);
}

TEST(PrefixQuery, AnswersManyItemsOfOneMessageInOrder) {
  World world(World::Brim(40));
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  std::vector<Chain> chains;
  wire::Query query{.registration = rank};
  for (uint32_t i = 0; i < 300; ++i) {
    chains.push_back(Chain(i, 1 + i % 3));
    if (i % 2 == 0) world.SaveAll(session, rank, chains.back());
  }
  for (const Chain& chain : chains) query.items.push_back({.hashes = chain.list()});
  world.Apply(Query{session, 9000, &query});
  EXPECT_FALSE(world.Answered(session, 9000));  // more than one Apply may do
  query = {};
  chains.clear();  // the message's memory is gone
  world.RunTicks();
  const Reply reply = world.Answer(session, 9000);
  const auto& answers = std::get<wire::QueryReply>(reply.body).answers;
  ASSERT_EQ(answers.size(), 300u);
  for (uint32_t i = 0; i < 300; ++i) EXPECT_EQ(answers[i].hit_blocks, i % 2 == 0 ? 1 + i % 3 : 0);
}

TEST(PrefixQuery, ForgetsTheQuestionsOfAClosedSession) {
  World world;
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain chain(1, 1);
  wire::Query query{.registration = rank};
  for (int i = 0; i < 500; ++i) query.items.push_back({.hashes = chain.list()});
  world.Apply(Query{session, 9000, &query});
  world.Close(session);
  world.RunTicks();
  EXPECT_FALSE(world.Answered(session, 9000));
  EXPECT_EQ(world.gone().size(), 1u);
  world.engine().CheckInvariants();
}

TEST(PrefixQuery, TouchesWhatItFindsSoThatItStays) {
  World world(World::Brim(1));
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  const Chain old(1, 8), newer(2, 8);
  world.SaveAll(session, rank, old);
  world.Advance(milliseconds(1));
  world.SaveAll(session, rank, newer);
  world.Advance(milliseconds(1));
  EXPECT_EQ(world.Hit(session, rank, old.list()), 8u);
  world.Advance(milliseconds(1));
  world.SaveAll(session, rank, Chain(3, 4));
  EXPECT_EQ(world.Hit(session, rank, old.list()), 8u);
  EXPECT_EQ(world.Hit(session, rank, newer.list()), 4u);
}

// Handles.

TEST(PrefixQuery, TakesAHandleForTheHashesBeforeTheTail) {
  Plain p;
  const Chain chain(1, 30);
  p.world.SaveAll(p.session, p.rank, chain);
  const auto first =
      p.world.AskItem(p.session, p.rank, {.hashes = chain.part(0, 20), .want_handle = true});
  ASSERT_NE(first.handle, 0u);
  const auto second = p.world.AskItem(p.session, p.rank,
                                      {.handle = first.handle,
                                       .handle_blocks = 20,
                                       .hashes = chain.part(20, 10),
                                       .want_handle = true});
  EXPECT_EQ(second.hit_blocks, 30u);
  EXPECT_EQ(second.handle, first.handle);
  const auto none = p.world.AskItem(p.session, p.rank,
                                    {.handle = first.handle, .handle_blocks = 30, .hashes = {}});
  EXPECT_EQ(none.hit_blocks, 30u);
}

TEST(PrefixQuery, GivesABranchAHandleOfItsOwn) {
  Plain p;
  const Chain chain(1, 20);
  const Chain branch = chain.Branch(10, 5, 20);
  p.world.SaveAll(p.session, p.rank, chain);
  p.world.SaveAll(p.session, p.rank, branch);
  const auto first =
      p.world.AskItem(p.session, p.rank, {.hashes = chain.list(), .want_handle = true});
  const auto other = p.world.AskItem(p.session, p.rank,
                                     {.handle = first.handle,
                                      .handle_blocks = 10,
                                      .hashes = branch.part(10, 10),
                                      .want_handle = true});
  EXPECT_NE(other.handle, first.handle);
  EXPECT_EQ(other.hit_blocks, 20u);
  const auto again =
      p.world.AskItem(p.session, p.rank, {.handle = first.handle, .handle_blocks = 20});
  EXPECT_EQ(again.hit_blocks, 20u);
}

TEST(PrefixQuery, AnswersAnUnknownHandleWithGone) {
  Plain p;
  const auto answer = p.world.AskItem(p.session, p.rank, {.handle = 5, .handle_blocks = 3});
  EXPECT_EQ(answer.code, Errc::kGone);
  EXPECT_EQ(answer.handle, 0u);
  EXPECT_EQ(answer.hit_blocks, 0u);
}

TEST(PrefixQuery, KeepsHandlesToTheirSession) {
  Plain p;
  const Chain chain(1, 5);
  const auto mine =
      p.world.AskItem(p.session, p.rank, {.hashes = chain.list(), .want_handle = true});
  const SessionId other = p.world.Open();
  const uint32_t rank = p.world.JoinPlain(other);
  EXPECT_EQ(p.world.AskItem(other, rank, {.handle = mine.handle, .handle_blocks = 5}).code,
            Errc::kGone);
}

TEST(PrefixQuery, ForgetsTheOldestHandleAtTheLimit) {
  WorldOptions options;
  options.limits.max_handles_per_session = 2;
  World world(options);
  const SessionId session = world.Open();
  const uint32_t rank = world.JoinPlain(session);
  std::vector<uint64_t> handles;
  for (uint64_t i = 0; i < 3; ++i) {
    const Chain chain(i, 4);
    handles.push_back(
        world.AskItem(session, rank, {.hashes = chain.list(), .want_handle = true}).handle);
  }
  EXPECT_EQ(world.AskItem(session, rank, {.handle = handles[0], .handle_blocks = 4}).code,
            Errc::kGone);
  EXPECT_EQ(world.AskItem(session, rank, {.handle = handles[2], .handle_blocks = 4}).code,
            Errc::kOk);
  EXPECT_EQ(world.stats().limit_handles, 1u);
  EXPECT_EQ(world.stats().handles, 2u);
}

TEST(PrefixQuery, DropsAHandleThatIsGivenBack) {
  Plain p;
  const Chain chain(1, 5);
  const auto answer =
      p.world.AskItem(p.session, p.rank, {.hashes = chain.list(), .want_handle = true});
  const wire::DropHandle drop{.handles = {answer.handle}};
  p.world.Apply(DropHandle{p.session, &drop});
  EXPECT_EQ(p.world.stats().handles, 0u);
  EXPECT_EQ(p.world.AskItem(p.session, p.rank, {.handle = answer.handle}).code, Errc::kGone);
}

}  // namespace
}  // namespace headrace::engine
