#include "server/event_feed.h"

#include <gtest/gtest.h>

#include "engine/test_world.h"
#include "server/event_samples.h"
#include "server/event_stream.h"

namespace headrace::server {
namespace {

using Kind = QueuedEvent::Kind;

// A core, the feed of its events, and a stream at the queue's other end that a test lets run.
struct Fixture {
  explicit Fixture(uint32_t queue_events = 4096, bool token_ids = false)
      : queue(queue_events, 1 << 20),
        feed({.queue = &queue,
              .engine = &world.engine(),
              .namespaces = world.meta().namespaces(),
              .wake = [this] { ++wakes; },
              .token_ids = token_ids}),
        stream({.node = "n",
                .form = {},
                .limits = {},
                .max_topics = 64,
                .seed = 1,
                .send = [this](const std::string&, uint64_t sequence, const std::string& payload) {
                  last_sequence = sequence;
                  reader.Read(payload);
                }}) {
    session = world.Open();
    registration = world.JoinPlain(session);
  }
  void Save(const engine::Chain& chain, const engine::SaveSpec& spec = {}) {
    world.SaveAll(session, registration, chain, spec);
    Feed();
  }
  // What the world's core said since the last call.
  void Feed() {
    std::vector<engine::BlockEvent> events(world.events().begin() + fed, world.events().end());
    fed = static_cast<ptrdiff_t>(world.events().size());
    feed.Push(&events);
  }
  void Publish() {
    QueuedEvent event;
    while (queue.TryPop(&event)) {
      kinds.push_back(event.kind);
      tokens += event.tokens.size();
      stream.Take(event, 1.0);
    }
    stream.Flush(1.0);
  }
  std::set<uint64_t> Truth() {
    std::set<uint64_t> truth;
    world.engine().WalkResident(0, 1 << 20, [&](const engine::BlockStored& block) {
      uint64_t number = 0;
      for (const uint8_t byte : block.hash.view().last(8)) number = number << 8 | byte;
      truth.insert(number);
    });
    return truth;
  }

  engine::World world{{.pages = 128}};
  EventQueue queue;
  int wakes = 0;
  EventFeed feed;
  EventReader reader;
  uint64_t last_sequence = 0;
  EventStream stream;
  engine::SessionId session = 0;
  uint32_t registration = 0;
  ptrdiff_t fed = 0;
  std::vector<Kind> kinds;
  size_t tokens = 0;
};

TEST(EventFeed, TellsATopicOnceBeforeItsBlocks) {
  Fixture f;
  f.Save(engine::Chain(1, 2));
  f.Save(engine::Chain(2, 1));
  f.Publish();
  EXPECT_EQ(f.kinds,
            (std::vector<Kind>{Kind::kTopic, Kind::kStored, Kind::kStored, Kind::kStored}));
  EXPECT_EQ(f.stream.topics(), std::vector<std::string>{"kv@n@ns"});
  EXPECT_EQ(f.reader.blocks, f.Truth());
  EXPECT_GT(f.wakes, 0);
}

TEST(EventFeed, DoesNotTellATopicAgainAfterAClear) {
  Fixture f;
  f.Save(engine::Chain(1, 2));
  f.world.ClearAll(f.session, f.registration);
  f.world.RunTicks();
  f.Save(engine::Chain(1, 2));
  f.Publish();
  EXPECT_EQ(std::count(f.kinds.begin(), f.kinds.end(), Kind::kTopic), 1);
  EXPECT_EQ(f.reader.blocks, f.Truth());
}

TEST(EventFeed, LeavesTokensBehindUnlessAsked) {
  for (const bool asked : {false, true}) {
    Fixture f(4096, asked);
    f.Save(engine::Chain(1, 2), {.tokens = std::vector<uint32_t>(32, 7)});
    f.Publish();
    EXPECT_EQ(f.tokens, asked ? 32u : 0u);
  }
}

TEST(EventFeed, DropsWhenFullAndTellsAnewWhenThereIsRoom) {
  Fixture f(512);
  for (uint64_t seed = 1; seed <= 8; ++seed) f.Save(engine::Chain(seed, 100));
  EXPECT_TRUE(f.feed.behind());
  EXPECT_EQ(f.feed.losses(), 1u);
  EXPECT_EQ(f.feed.dropped(), 800u - 511u);  // one place was the topic's
  EXPECT_FALSE(f.feed.Advance());            // no room yet
  f.Publish();
  EXPECT_LT(f.reader.blocks.size(), 800u);
  for (int turn = 0; turn < 1000 && f.feed.behind(); ++turn) {
    while (f.feed.Advance()) {
    }
    f.Publish();
  }
  EXPECT_FALSE(f.feed.behind());
  f.Publish();
  EXPECT_EQ(f.reader.blocks, f.Truth());
  EXPECT_EQ(f.reader.blocks.size(), 800u);
  EXPECT_EQ(f.stream.counts().gaps, 1u);
  EXPECT_EQ(f.reader.orphans, 0u);
}

TEST(EventFeed, EndsWithTheTruthWhateverChangesMeanwhile) {
  Fixture f(512);
  uint64_t seed = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 6; ++i) f.Save(engine::Chain(++seed % 40, 30));
    if (round % 5 == 2) {
      const engine::Chain chain(seed % 40, 30);
      f.world.PurgeOne(f.session, f.registration, chain[7]);
      f.world.RunTicks();
      f.Feed();
    }
    if (round % 20 == 19) {
      f.world.ClearAll(f.session, f.registration);
      f.world.RunTicks();
      f.Feed();
    }
    f.feed.Advance();
    if (round % 3 == 0) f.Publish();
  }
  EXPECT_GT(f.feed.losses(), 1u);
  for (int turn = 0; turn < 1000 && f.feed.behind(); ++turn) {
    f.Publish();
    f.feed.Advance();
  }
  f.Publish();
  EXPECT_EQ(f.reader.blocks, f.Truth());
  EXPECT_TRUE(f.stream.whole());
}

}  // namespace
}  // namespace headrace::server
