#include "engine/resident_walk.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/test_world.h"

namespace headrace::engine {
namespace {

using Key = std::pair<NamespaceId, std::vector<uint8_t>>;

Key KeyOf(NamespaceId name_space, const BlockHash& hash) {
  return {name_space, {hash.view().begin(), hash.view().end()}};
}

// What a listener believes that hears a slice of the walk now and then, and all events.
class Listener {
 public:
  explicit Listener(World* world) : world_(world), heard_(world->events().size()) {}

  void Hear() {
    for (; heard_ < world_->events().size(); ++heard_) {
      const BlockEvent& event = world_->events()[heard_];
      if (const auto* stored = std::get_if<BlockStored>(&event)) {
        believed_.insert(KeyOf(stored->name_space, stored->hash));
      } else {
        const auto& removed = std::get<BlockRemoved>(event);
        believed_.erase(KeyOf(removed.name_space, removed.hash));
      }
    }
  }
  // False at the walk's end.
  bool Walk(uint32_t count) {
    if (next_ == kNone) return false;
    next_ = world_->engine().WalkResident(next_, count, [this](const BlockStored& block) {
      believed_.insert(KeyOf(block.name_space, block.hash));
    });
    return next_ != kNone;
  }
  const std::set<Key>& believed() const { return believed_; }

 private:
  World* world_;
  size_t heard_ = 0;
  BlockIndex next_ = 0;
  std::set<Key> believed_;
};

TEST(ResidentWalk, FindsEveryVisibleBlockWithItsParent) {
  World world;
  const SessionId session = world.Open();
  const uint32_t registration = world.JoinPlain(session);
  const Chain chain(1, 9);
  world.SaveAll(session, registration, chain);
  std::vector<BlockStored> found;
  const BlockIndex next = world.engine().WalkResident(
      0, 1000, [&](const BlockStored& block) { found.push_back(block); });
  EXPECT_EQ(next, kNone);
  ASSERT_EQ(found.size(), 9u);
  for (const BlockStored& block : found) {
    EXPECT_EQ(block.hash, chain[block.depth]);
    EXPECT_EQ(block.parent, block.depth == 0 ? BlockHash{} : chain[block.depth - 1]);
  }
}

TEST(ResidentWalk, PassesHiddenBlocksBy) {
  World world;
  const SessionId session = world.Open();
  const uint32_t registration = world.JoinPlain(session);
  world.SaveAll(session, registration, Chain(1, 6), {.from = 3});  // its parent is not there
  Listener listener(&world);
  while (listener.Walk(2)) {
  }
  EXPECT_TRUE(listener.believed().empty());
}

TEST(ResidentWalk, OfAClearedBlockAndItsSuccessorTellsOne) {
  World world;
  const SessionId session = world.Open();
  const uint32_t registration = world.JoinPlain(session);
  const Chain chain(1, 3);
  world.SaveAll(session, registration, chain);
  const auto lease = world.Ask(session, registration, chain.list(), true);
  ASSERT_NE(lease.lease, 0u);
  world.SubmitLoad(session, registration, lease.lease, 0, {Ids(3)});  // keeps the old ones
  world.ClearAll(session, registration);
  const RequestId again = world.SubmitSave(session, registration, chain);
  for (int i = 0; i < 100; ++i) world.Apply(Tick{});
  std::vector<Ticket> saves;
  for (const auto& [ticket, job] : world.copies()) {
    if (job.direction == wire::Direction::kSave) saves.push_back(ticket);
  }
  for (const Ticket ticket : saves) world.Complete(ticket);
  EXPECT_TRUE(world.Answered(session, again));
  std::map<Key, int> told;
  world.engine().WalkResident(
      0, 1000, [&](const BlockStored& block) { ++told[KeyOf(block.name_space, block.hash)]; });
  EXPECT_EQ(told.size(), 3u);
  for (const auto& [key, times] : told) EXPECT_EQ(times, 1);
}

// A listener that begins in the middle knows after one walk what one that heard all knows, however
// much changes meanwhile.
TEST(ResidentWalk, WithEventsInBetweenEndsWithTheTruth) {
  size_t there = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    World world({.pages = 2});
    const SessionId session = world.Open();
    const uint32_t registration = world.JoinPlain(session);
    Random random(seed);
    const auto change = [&] {
      const uint64_t kind = random.Next() % 8;
      const uint64_t length = 1 + random.Next() % 9;
      const Chain chain(random.Next() % 12, static_cast<uint32_t>(length));
      if (kind == 0) {
        world.PurgeOne(session, registration, chain[chain.size() / 2]);
        world.RunTicks();
      } else if (kind == 1) {
        world.ClearAll(session, registration);
        if (random.Next() % 2 == 0) world.RunTicks();
      } else {
        world.SaveAll(session, registration, chain);
      }
    };
    for (int i = 0; i < 20; ++i) change();
    Listener late(&world);
    while (late.Walk(static_cast<uint32_t>(1 + random.Next() % 3))) {
      change();
      late.Hear();
    }
    world.Quiet();
    late.Hear();
    std::set<Key> truth;
    world.engine().WalkResident(0, 1000, [&](const BlockStored& block) {
      truth.insert(KeyOf(block.name_space, block.hash));
    });
    // Not EXPECT_EQ: it would print thousands of bytes.
    EXPECT_TRUE(late.believed() == truth) << "seed " << seed << ": " << late.believed().size()
                                          << " believed, " << truth.size() << " there";
    there += truth.size();
  }
  EXPECT_GT(there, 100u);
}

}  // namespace
}  // namespace headrace::engine
