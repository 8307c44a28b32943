// Hybrid models: what a hit needs of windows and states.
#include "engine/test_world.h"

namespace headrace::engine {
namespace {

class Groups {
 public:
  explicit Groups(std::vector<wire::GroupSpec> groups, const WorldOptions& options = {.pages = 40})
      : world(options) {
    session = world.Open();
    rank = world.Joined(session, world.Spec("hybrid", std::move(groups)));
  }
  void Save(uint32_t group, uint32_t from, uint32_t count) {
    world.SaveAll(session, rank, chain, {.from = from, .count = count, .group = group});
  }
  uint32_t Hit(uint32_t blocks = 40) {
    const uint32_t hit = world.Hit(session, rank, chain.part(0, blocks));
    EXPECT_EQ(world.engine().LinearHit(0, chain.part(0, blocks)), hit);
    world.engine().CheckInvariants();
    return hit;
  }
  World world;
  Chain chain{1, 40};
  SessionId session = 0;
  uint32_t rank = 0;
};

const wire::GroupSpec kFull = GroupOf(wire::GroupKind::kFull, 4096);
const wire::GroupSpec kWindow = GroupOf(wire::GroupKind::kWindow, 4096, 4);
const wire::GroupSpec kState = GroupOf(wire::GroupKind::kState, 16384);

TEST(GroupRules, AWindowNeedsOnlyItsTail) {
  Groups g({kFull, kWindow});
  g.Save(0, 0, 20);
  EXPECT_EQ(g.Hit(), 0u);
  g.Save(1, 16, 4);
  EXPECT_EQ(g.Hit(), 20u);
  EXPECT_EQ(g.Hit(19), 0u);  // position 15 has no part
}

TEST(GroupRules, AWindowLongerThanThePrefixNeedsAllOfIt) {
  Groups g({kFull, kWindow});
  g.Save(0, 0, 20);
  g.Save(1, 0, 3);
  EXPECT_EQ(g.Hit(), 3u);
  EXPECT_EQ(g.Hit(2), 2u);
}

TEST(GroupRules, AStateNeedsOnlyTheLastPosition) {
  Groups g({kFull, kState});
  g.Save(0, 0, 30);
  g.Save(1, 9, 1);
  g.Save(1, 19, 1);
  EXPECT_EQ(g.Hit(), 20u);
  EXPECT_EQ(g.Hit(19), 10u);
  EXPECT_EQ(g.Hit(9), 0u);
}

TEST(GroupRules, TheLongestPrefixThatSatisfiesAllGroupsCounts) {
  Groups g({kFull, kWindow, kState});
  g.Save(0, 0, 40);
  g.Save(1, 0, 12);
  g.Save(1, 20, 20);
  g.Save(2, 7, 1);
  g.Save(2, 21, 1);
  EXPECT_EQ(g.Hit(), 8u);  // at 22 the window is short
  g.Save(2, 30, 1);
  EXPECT_EQ(g.Hit(), 31u);
}

TEST(GroupRules, PartsOfAPositionMayComeInOneMessage) {
  Groups g({kFull, kWindow});
  wire::Save save{.registration = g.rank};
  for (uint32_t group : {1u, 0u}) {  // the window's chain comes first
    wire::SaveChain part{.group = group, .hashes = g.chain.part(0, 10), .blocks = Ids(10)};
    if (group == 1) std::fill_n(part.blocks.begin(), 6, wire::kNoBlock);
    save.chains.push_back(part);
  }
  const RequestId request = g.world.SubmitChains(g.session, save);
  g.world.Quiet();
  const Reply reply = g.world.Answer(g.session, request);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).stored, 14u);
  EXPECT_EQ(g.Hit(), 10u);
}

TEST(GroupRules, PartsOfAPositionGoTogether) {
  Groups g({kFull, kState});
  g.Save(0, 0, 10);
  g.Save(1, 9, 1);
  EXPECT_EQ(g.Hit(), 10u);
  EXPECT_TRUE(g.world.PurgeOne(g.session, g.rank, g.chain[9]));
  g.world.RunTicks();
  EXPECT_EQ(g.Hit(), 0u);
  EXPECT_EQ(g.world.stats().used_bytes, 9u * 4096);
}

TEST(GroupRules, AModelWithoutFullAttentionNeedsOnlyItsStates) {
  Groups g({kState});
  g.Save(0, 9, 1);  // nothing before it was ever saved
  EXPECT_EQ(g.Hit(), 10u);
  EXPECT_EQ(g.Hit(9), 0u);
  g.Save(0, 29, 1);
  EXPECT_EQ(g.Hit(), 30u);
  const auto answer = g.world.Ask(g.session, g.rank, g.chain.list(), true);
  std::vector<uint32_t> targets(30, wire::kNoBlock);
  targets[29] = 3;
  const RequestId load = g.world.SubmitLoad(g.session, g.rank, answer.lease, 0, {targets});
  g.world.Quiet();
  EXPECT_EQ(g.world.CodeOf(g.session, load), Errc::kOk);
}

TEST(GroupRules, AModelWithoutFullAttentionMaySkipPositionsInOneSave) {
  Groups g({kState});
  std::vector<uint32_t> blocks(40, wire::kNoBlock);
  for (uint32_t i = 7; i < 40; i += 8) blocks[i] = i;
  g.world.SaveAll(g.session, g.rank, g.chain, {.blocks = blocks});
  EXPECT_EQ(g.Hit(), 40u);
  EXPECT_EQ(g.Hit(39), 32u);
  EXPECT_EQ(g.world.stats().blocks_visible, 5u);
}

TEST(GroupRules, AWalkThatIsLongGoesOnInLaterApplies) {
  Groups g({kFull, kState}, {.pages = 300});
  g.chain = Chain(1, 3000);
  g.world.SaveAll(g.session, g.rank, g.chain);
  g.Save(1, 4, 1);
  const wire::Query query{.registration = g.rank, .items = {{.hashes = g.chain.list()}}};
  g.world.Apply(Query{g.session, 9000, &query});
  EXPECT_FALSE(g.world.Answered(g.session, 9000));
  g.world.engine().CheckInvariants();
  g.world.RunTicks();
  const Reply reply = g.world.Answer(g.session, 9000);
  EXPECT_EQ(std::get<wire::QueryReply>(reply.body).answers.at(0).hit_blocks, 5u);
}

TEST(GroupRules, AWalkGetsOnHoweverSmallTheSlices) {
  WorldOptions options{.pages = 40};
  options.limits.slice_units = 1;
  Groups g({kFull, kWindow}, options);
  g.Save(0, 0, 40);
  g.Save(1, 0, 4);
  EXPECT_EQ(g.Hit(), 4u);
}

TEST(GroupRules, AWalkStartsAgainWhenItsGroundIsPurged) {
  Groups g({kFull, kState}, {.pages = 300});
  g.chain = Chain(1, 3000);
  g.world.SaveAll(g.session, g.rank, g.chain);
  g.Save(1, 4, 1);
  const wire::Query query{.registration = g.rank, .items = {{.hashes = g.chain.list()}}};
  g.world.Apply(Query{g.session, 9000, &query});
  EXPECT_TRUE(g.world.PurgeOne(g.session, g.rank, g.chain[2]));
  g.world.RunTicks();
  const Reply reply = g.world.Answer(g.session, 9000);
  EXPECT_EQ(std::get<wire::QueryReply>(reply.body).answers.at(0).hit_blocks, 0u);
  g.world.engine().CheckInvariants();
}

}  // namespace
}  // namespace headrace::engine
