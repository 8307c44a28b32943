#include "server/event_stream.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "server/event_samples.h"

namespace headrace::server {
namespace {

using Kind = QueuedEvent::Kind;

struct Sent {
  std::string topic;
  uint64_t sequence;
  std::string payload;
};

struct Fixture {
  explicit Fixture(EventLimits limits = {}, uint32_t max_topics = 8)
      : stream({.node = "n:1",
                .form = {},
                .limits = limits,
                .max_topics = max_topics,
                .seed = 3,
                .send = [this](const std::string& topic, uint64_t sequence,
                               const std::string& payload) {
                  sent.push_back({topic, sequence, payload});
                }}) {
    Take(TopicEvent(0, "m"));
  }
  void Take(const QueuedEvent& event) { stream.Take(event, 1.0); }
  // A message of its own for one block without a parent.
  void Message(uint64_t number) {
    Take(StoredEvent(number, 0, 0));
    stream.Flush(1.0);
  }
  std::vector<uint64_t> Sequences() const {
    std::vector<uint64_t> sequences;
    sequences.reserve(sent.size());
    for (const Sent& message : sent) sequences.push_back(message.sequence);
    return sequences;
  }
  EventReader ReadAll() const {
    EventReader reader;
    for (const Sent& message : sent) reader.Read(message.payload);
    return reader;
  }

  std::vector<Sent> sent;
  EventStream stream;
};
constexpr const char* kTopic = "kv@n:1@m";

TEST(EventStream, CountsEachTopicFromZero) {
  Fixture f;
  f.Take(TopicEvent(1, "a@b%"));
  f.Message(1);
  QueuedEvent other = StoredEvent(1, 0, 0);
  other.name_space = 1;
  f.Take(other);
  f.stream.Flush(1.0);
  f.Message(2);
  ASSERT_EQ(f.sent.size(), 3u);
  EXPECT_EQ(f.sent[0].topic, kTopic);
  EXPECT_EQ(f.sent[1].topic, "kv@n:1@a%40b%25");
  EXPECT_EQ(f.Sequences(), (std::vector<uint64_t>{0, 0, 1}));
  EXPECT_EQ(f.stream.last_sequence(kTopic), 1u);
}

TEST(EventStream, SendsOneMessageForWhatCameTogether) {
  Fixture f;
  f.Take(StoredEvent(1, 0, 0));
  f.Take(StoredEvent(2, 1, 1));
  f.Take(RemovedEvent(2));
  EXPECT_TRUE(f.sent.empty());
  f.stream.Flush(1.0);
  EXPECT_EQ(f.sent.size(), 1u);
  EXPECT_EQ(f.ReadAll().blocks, std::set<uint64_t>{1});
  f.stream.Flush(1.0);
  EXPECT_EQ(f.sent.size(), 1u);
}

TEST(EventStream, CutsLongMessages) {
  Fixture f({.batch_blocks = 3});
  for (uint64_t i = 1; i <= 7; ++i) f.Take(StoredEvent(i, i - 1, static_cast<uint32_t>(i - 1)));
  EXPECT_EQ(f.sent.size(), 2u);
  f.stream.Flush(1.0);
  EXPECT_EQ(f.sent.size(), 3u);
  const EventReader reader = f.ReadAll();
  EXPECT_EQ(reader.blocks.size(), 7u);
  EXPECT_EQ(reader.orphans, 0u);
}

TEST(EventStream, KeepsTheLastMessagesForReplay) {
  Fixture f({.buffer_steps = 3});
  for (uint64_t i = 1; i <= 5; ++i) f.Message(i);
  const KeptMessage* const first = f.stream.Kept(kTopic, 0);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->sequence, 2u);
  EXPECT_EQ(*f.stream.Kept(kTopic, 4)->payload, f.sent[4].payload);
  EXPECT_EQ(f.stream.Kept(kTopic, 5), nullptr);
  EXPECT_EQ(f.stream.Kept("kv@n:1@nobody", 0), nullptr);
}

TEST(EventStream, KeepsNoMoreThanItsBytes) {
  Fixture f({.buffer_bytes = 1000});
  for (uint64_t i = 1; i <= 100; ++i) f.Message(i);
  EXPECT_LE(f.stream.counts().kept_bytes, 1000u);
  EXPECT_GT(f.stream.counts().forgotten, 50u);
  EXPECT_NE(f.stream.Kept(kTopic, 99), nullptr);
}

TEST(EventStream, SnapshotIsExactAtItsSequence) {
  Fixture f({.batch_blocks = 2});
  Random random(1);
  EventReader live;
  size_t read = 0;
  for (int step = 0; step < 3000; ++step) {
    const uint64_t number = 1 + random.Next() % 60;
    const uint64_t parent = number % 10 == 1 ? 0 : number - 1;
    if (random.Next() % 2 == 0) {
      f.Take(StoredEvent(number, parent, static_cast<uint32_t>((number - 1) % 10)));
    } else {
      f.Take(RemovedEvent(number));
    }
    if (random.Next() % 40 != 0) continue;
    const auto snapshot = f.stream.Snapshot(kTopic, 1.0);
    for (; read < f.sent.size(); ++read) live.Read(f.sent[read].payload);
    ASSERT_EQ(snapshot->sequence, f.sent.back().sequence);
    EventReader whole;
    for (const std::string& payload : snapshot->payloads) whole.Read(payload);
    ASSERT_EQ(whole.blocks, live.blocks);
    ASSERT_EQ(f.stream.resident(kTopic), live.blocks.size());
  }
}

TEST(EventStream, SnapshotBeforeTheFirstMessageNamesNone) {
  Fixture f;
  EXPECT_EQ(f.stream.Snapshot(kTopic, 1.0)->sequence, kNoSequence);
  EXPECT_TRUE(f.stream.Snapshot("kv@n:1@nobody", 1.0)->payloads.empty());
}

TEST(EventStream, SharesASnapshotWhileNothingChanges) {
  Fixture f;
  f.Message(1);
  const auto one = f.stream.Snapshot(kTopic, 1.0);
  EXPECT_EQ(f.stream.Snapshot(kTopic, 1.0), one);
  f.Message(2);
  EXPECT_NE(f.stream.Snapshot(kTopic, 1.0), one);
}

TEST(EventStream, TellsALossByAGapAndThenTheDifference) {
  Fixture f;
  f.Take(StoredEvent(1, 0, 0));
  f.Take(StoredEvent(2, 1, 1));
  f.Take(StoredEvent(3, 2, 2));
  f.stream.Flush(1.0);
  f.Take(Marker(Kind::kLost));
  EXPECT_FALSE(f.stream.whole());
  EXPECT_EQ(f.Sequences(), (std::vector<uint64_t>{0, 2}));  // at once, with nothing in it
  EXPECT_EQ(f.stream.Kept(kTopic, 0)->sequence, 2u);        // no way over the gap
  // What is there now: 1, and 5 below 4, in no order.
  f.Take(StoredEvent(5, 4, 1, Kind::kResident));
  f.Take(StoredEvent(1, 0, 0, Kind::kResident));
  f.Take(StoredEvent(4, 0, 0));
  f.Take(Marker(Kind::kWhole));
  EXPECT_TRUE(f.stream.whole());
  const EventReader reader = f.ReadAll();
  EXPECT_EQ(reader.blocks, (std::set<uint64_t>{1, 4, 5}));
  EXPECT_EQ(reader.orphans, 0u);
  EXPECT_EQ(f.stream.counts().gaps, 1u);
  EXPECT_EQ(f.stream.resident(kTopic), 3u);
  EXPECT_EQ(f.stream.counts().resident, 3u);
}

TEST(EventStream, BeatsOnlyForQuietTopics) {
  Fixture f;
  f.stream.Beat(1.0);
  EXPECT_TRUE(f.sent.empty());  // never published
  f.Message(1);
  f.stream.Beat(1.0);
  EXPECT_EQ(f.sent.size(), 1u);  // it just spoke
  f.stream.Beat(1.0);
  f.stream.Beat(1.0);
  EXPECT_EQ(f.Sequences(), (std::vector<uint64_t>{0, 1, 2}));
}

TEST(EventStream, ForgetsTopicsThatNobodyHasWhenThereAreTooMany) {
  Fixture f({}, 2);
  f.Message(1);
  f.Take(RemovedEvent(1));
  f.Take(TopicEvent(0, "second"));
  f.Take(TopicEvent(0, "third"));
  f.Take(TopicEvent(0, "fourth"));
  EXPECT_EQ(f.stream.topics().size(), 2u);
  EXPECT_EQ(f.ReadAll().blocks.size(), 0u);  // its last removal went out before
  // A reader that remembers the old sequence sees a gap.
  const uint64_t last = f.sent.back().sequence;
  f.Take(TopicEvent(0, "m"));
  f.Message(1);
  EXPECT_GT(f.sent.back().sequence, last + 1);
}

using Lists = std::vector<std::vector<std::string>>;

// A stream whose namespace's pods a test sets.
struct PodFixture {
  PodFixture()
      : stream({.node = "n:1",
                .form = {},
                .limits = {},
                .max_topics = 8,
                .seed = 3,
                .pods = [this](std::string_view name_space) { return board.Of(name_space); },
                .send = [this](const std::string&, uint64_t,
                               const std::string& payload) { sent.push_back(payload); }}) {}
  void Join(std::vector<std::string_view> pods, std::string_view model = "org/m") {
    board.Join(1, ++registrations, "a@b", pods, model);
  }
  void Topic() { stream.Take(TopicEvent(0, "a@b"), 1.0); }
  void Block(uint64_t number) {
    stream.Take(StoredEvent(number, 0, 0), 1.0);
    stream.Flush(1.0);
  }
  EventReader ReadAll() const {
    EventReader reader;
    for (const std::string& payload : sent) reader.Read(payload);
    return reader;
  }
  EventReader ReadSnapshot() {
    EventReader reader;
    const auto snapshot = stream.Snapshot("kv@n:1@a%40b", 1.0);
    for (const std::string& payload : snapshot->payloads) reader.Read(payload);
    return reader;
  }

  PodBoard board;
  uint32_t registrations = 0;
  std::vector<std::string> sent;
  EventStream stream;
};

TEST(EventStream, TellsThePodsBeforeTheFirstBlock) {
  PodFixture f;
  f.Join({"p", "q"});
  f.Topic();
  f.Block(1);
  ASSERT_EQ(f.sent.size(), 2u);
  EventReader first;
  first.Read(f.sent[0]);
  EXPECT_EQ(first.pods, (Lists{{"p", "q"}}));
  EXPECT_EQ(first.models, std::vector<std::string>{"org/m"});
  EXPECT_TRUE(first.blocks.empty());
  EventReader second;
  second.Read(f.sent[1]);
  EXPECT_TRUE(second.pods.empty());
}

TEST(EventStream, TellsChangesOfPodsBehindWhatCameBefore) {
  PodFixture f;
  f.Topic();
  f.stream.Take(StoredEvent(1, 0, 0), 1.0);
  f.Join({"p"});
  f.stream.UpdatePods(1.0);
  f.stream.UpdatePods(1.0);
  EXPECT_EQ(f.sent.size(), 2u) << "the block, then the pod, once";
  f.board.LeaveAll(1);
  f.stream.UpdatePods(1.0);
  EXPECT_EQ(f.ReadAll().pods, (Lists{{"p"}, {}}));
  EXPECT_EQ(f.ReadAll().blocks, std::set<uint64_t>{1});
}

TEST(EventStream, KeepsTheModelThatItNamedFirst) {
  PodFixture f;
  f.Topic();
  f.Join({"p"}, "first");
  f.stream.UpdatePods(1.0);
  f.board.LeaveAll(1);
  f.Join({"q"}, "second");
  f.stream.UpdatePods(1.0);
  EXPECT_EQ(f.ReadAll().pods, (Lists{{"p"}, {"q"}}));
  EXPECT_EQ(f.ReadAll().models, (std::vector<std::string>{"first", "first"}));
}

TEST(EventStream, RepeatsPodsWithEachBeat) {
  PodFixture f;
  f.Join({"p"});
  f.Topic();
  f.stream.Beat(1.0);
  f.Block(1);  // a busy topic too
  f.stream.Beat(1.0);
  EXPECT_EQ(f.ReadAll().pods, (Lists{{"p"}, {"p"}, {"p"}}));
  f.board.LeaveAll(1);
  f.stream.UpdatePods(1.0);
  f.stream.Beat(1.0);
  f.stream.Beat(1.0);
  EXPECT_EQ(f.ReadAll().pods.size(), 4u) << "that there are none is said once";
}

TEST(EventStream, RepeatsPodsBehindAGap) {
  PodFixture f;
  f.Join({"p"});
  f.Topic();
  const size_t before = f.sent.size();
  f.stream.Take(Marker(Kind::kLost), 1.0);
  ASSERT_EQ(f.sent.size(), before + 1);
  EventReader marker;
  marker.Read(f.sent.back());
  EXPECT_EQ(marker.pods, (Lists{{"p"}}));
}

TEST(EventStream, BeginsASnapshotWithThePods) {
  PodFixture f;
  f.Topic();
  f.Block(1);
  EXPECT_EQ(f.ReadSnapshot().pods, Lists{{}}) << "that there are none is part of the truth";
  f.Join({"p"});
  f.stream.UpdatePods(1.0);
  const EventReader snapshot = f.ReadSnapshot();
  EXPECT_EQ(snapshot.pods, (Lists{{"p"}}));
  EXPECT_EQ(snapshot.models, std::vector<std::string>{"org/m"});
  EXPECT_EQ(snapshot.blocks, std::set<uint64_t>{1});
}

TEST(EventStream, ReplaysPods) {
  PodFixture f;
  f.Topic();
  f.Block(1);
  f.Join({"p"});
  f.stream.UpdatePods(1.0);
  const KeptMessage* kept = f.stream.Kept("kv@n:1@a%40b", 1);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(*kept->payload, f.sent[1]);
}

}  // namespace
}  // namespace headrace::server
