// Fleets that share a real Redis: what one is told, the other answers.
#include "indexer/shared_index.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/random.h"
#include "indexer/fleet_samples.h"
#include "indexer/redis_rig.h"

namespace headrace::indexer {
namespace {

using Map = std::map<std::string, double>;

// A server's part of it.
class Member {
 public:
  explicit Member(Loop* loop, const std::string& url, uint64_t max_queued_keys = 1 << 20) {
    RedisIndexOptions options = IndexOptions(url);
    options.check = milliseconds(200);
    options.limits.max_queued_keys = max_queued_keys;
    std::string message;
    auto remote = CreateRedisIndex(loop, std::move(options), &message);
    HR_CHECK(remote.has_value());
    remote_ = std::move(*remote);
    auto fleet = FleetIndex::Create(
        {.hash = SampleHash(), .seed = 7, .remote = remote_, .loop = loop}, &message);
    HR_CHECK(fleet.has_value());
    fleet_ = std::move(*fleet);
  }
  FleetIndex* operator->() { return fleet_.get(); }
  FleetIndex* get() { return fleet_.get(); }
  RemoteIndex* remote() { return remote_.get(); }

 private:
  std::shared_ptr<RemoteIndex> remote_;
  std::unique_ptr<FleetIndex> fleet_;
};

wire::Event Event(wire::EventType type, const std::vector<uint64_t>& hashes) {
  return {.type = type, .hashes = hashes, .medium = "GPU"};
}

void Tell(FleetIndex* fleet, const std::string& pod, const wire::Event& event) {
  auto feed = fleet->digest()->Open(pod, "m");
  HR_CHECK(feed.has_value());
  HR_CHECK(fleet->digest()->Apply(&*feed, {.events = {&event, 1}}, Time()).has_value());
}

class SharedIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    HR_NEEDS_REDIS();
    loop_ = std::move(*Loop::Create());
    redis_ = std::make_unique<net::TestRedis>();
  }
  bool Until(const std::function<bool()>& done) { return RunUntil(loop_.get(), done); }
  Result<std::vector<NamedScore>> Ask(Member* member, uint32_t tokens,
                                      const std::vector<std::string>& only = {}) {
    std::optional<Result<std::vector<NamedScore>>> answer;
    const std::vector<RequestKey> keys = KeysOf(Counting(tokens));
    (*member)->ScoreThen(keys, only, [&](auto scores) { answer = std::move(scores); });
    EXPECT_FALSE(answer.has_value());  // Redis answers, and nobody in its place
    HR_CHECK(Until([&] { return answer.has_value(); }));
    return *answer;
  }
  Map Score(Member* member, uint32_t tokens) {
    const auto scores = Ask(member, tokens);
    Map map;
    if (!scores) return {{"error", 0}};
    for (const NamedScore& score : *scores) map[score.pod] = score.score;
    return map;
  }
  testing::AssertionResult Becomes(Member* member, uint32_t tokens, const Map& expected) {
    Map last;
    const Time end = MonotonicNow() + seconds(10);
    while (MonotonicNow() < end) {
      last = Score(member, tokens);
      if (last == expected) return testing::AssertionSuccess();
    }
    auto failure = testing::AssertionFailure();
    for (const auto& [pod, score] : last) failure << pod << ":" << score << " ";
    return failure;
  }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::TestRedis> redis_;
};

TEST_F(SharedIndexTest, AServerWithoutPodsAnswersTheSame) {
  Member writer(loop_.get(), redis_->url());
  Member reader(loop_.get(), redis_->url());
  Store(writer.get(), "a", Counting(16));
  Store(writer.get(), "b", Counting(8), "CPU");
  EXPECT_TRUE(Becomes(&reader, 18, {{"a", 4}, {"b", 1.6}}));
  EXPECT_TRUE(Becomes(&writer, 18, {{"a", 4}, {"b", 1.6}}));
  const auto scores = Ask(&reader, 18, {"b", "nobody"});
  ASSERT_TRUE(scores && scores->size() == 1);
  EXPECT_EQ(scores->front().pod, "b");
  EXPECT_EQ(scores->front().blocks, 2u);
  EXPECT_FALSE(scores->front().uncertain);
  EXPECT_GE(reader->score_counters().requests, 2u);
  EXPECT_GE(reader->score_counters().keys_hit, 4u + 2u);
  EXPECT_EQ(reader->index()->stats().blocks, 0u);
}

TEST_F(SharedIndexTest, CopiesOfABlockCountOnceAndGoWithTheLast) {
  Member writer(loop_.get(), redis_->url());
  Store(writer.get(), "a", Counting(8));
  Store(writer.get(), "a", Counting(8));
  Store(writer.get(), "a", Counting(8), "CPU");
  EXPECT_TRUE(Becomes(&writer, 8, {{"a", 2}}));
  Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {102}));
  Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {777}));
  Store(writer.get(), "b", Counting(4));
  EXPECT_TRUE(Becomes(&writer, 8, {{"a", 2}, {"b", 1}}));
  Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {102}));
  EXPECT_TRUE(Becomes(&writer, 8, {{"a", 1.8}, {"b", 1}}));
  Tell(writer.get(), "a", Event(wire::EventType::kCleared, {}));
  EXPECT_TRUE(Becomes(&writer, 8, {{"b", 1}}));
  EXPECT_TRUE(writer->RemovePod("b"));
  EXPECT_TRUE(Becomes(&writer, 8, {}));
}

TEST_F(SharedIndexTest, RanksAndModelsOfAPodScoreAsThePod) {
  Member writer(loop_.get(), redis_->url());
  Member reader(loop_.get(), redis_->url());
  const std::vector<uint64_t> hashes = {1, 2};
  const auto tokens = Counting(8);
  const auto tell = [&](int32_t rank, size_t blocks) {
    wire::Event event = Event(wire::EventType::kStored, hashes);
    event.hashes = std::span(hashes).first(blocks);
    event.tokens = std::span(tokens).first(4 * blocks);
    event.block_size = 4;
    auto feed = writer->digest()->Open("a", "m");
    HR_CHECK(feed.has_value());
    wire::EventBatch batch;
    batch.events = {&event, 1};
    batch.rank = rank;
    HR_CHECK(writer->digest()->Apply(&*feed, batch, Time()).has_value());
  };
  tell(0, 1);
  tell(1, 2);
  EXPECT_TRUE(Becomes(&reader, 8, {{"a", 2}}));
  const wire::Event cleared = Event(wire::EventType::kCleared, {});
  auto feed = writer->digest()->Open("a", "m");
  ASSERT_TRUE(feed.has_value());
  wire::EventBatch batch;
  batch.events = {&cleared, 1};
  batch.rank = 1;
  ASSERT_TRUE(writer->digest()->Apply(&*feed, batch, Time()).has_value());
  EXPECT_TRUE(Becomes(&reader, 8, {{"a", 1}}));
  EXPECT_TRUE(writer->RemovePod("a"));
  EXPECT_TRUE(Becomes(&reader, 8, {}));
}

TEST_F(SharedIndexTest, ARedisThatDiedAndCameBackEmptyIsToldAgain) {
  Member writer(loop_.get(), redis_->url());
  Member reader(loop_.get(), redis_->url());
  Store(writer.get(), "a", Counting(16));
  Store(writer.get(), "b", Counting(4000));  // more than a page
  Store(writer.get(), "c", Counting(8));
  EXPECT_TRUE(Becomes(&reader, 4000, {{"a", 4}, {"b", 1000}, {"c", 2}}));
  redis_->Kill();
  ASSERT_TRUE(Until([&] { return !writer.remote()->available(); }));
  const auto away = Ask(&writer, 8);
  ASSERT_FALSE(away.has_value());
  EXPECT_EQ(away.error().code, Errc::kUnavailable);
  EXPECT_NE(writer->WhyNot(away.error()).find("connect"), std::string::npos)
      << writer->WhyNot(away.error());
  // Meanwhile events come.
  Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {104}));
  EXPECT_TRUE(writer->RemovePod("c"));
  redis_->Start();
  EXPECT_TRUE(Becomes(&reader, 4000, {{"a", 3}, {"b", 1000}}));
  EXPECT_TRUE(Until([&] { return writer->shared()->behind() == 0; }));
  Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {103}));
  EXPECT_TRUE(Becomes(&reader, 4000, {{"a", 2}, {"b", 1000}}));
  EXPECT_GT(writer.remote()->stats().lost_streams, 0u);
}

TEST_F(SharedIndexTest, ARedisThatWasEmptiedIsToldAgain) {
  Member writer(loop_.get(), redis_->url());
  Store(writer.get(), "a", Counting(16));
  EXPECT_TRUE(Becomes(&writer, 16, {{"a", 4}}));
  redis_->Ask({"FLUSHALL"});
  EXPECT_TRUE(Becomes(&writer, 16, {}));
  EXPECT_TRUE(Becomes(&writer, 16, {{"a", 4}}));
}

TEST_F(SharedIndexTest, WhatWasTooMuchToQueueIsToldAgain) {
  Member writer(loop_.get(), redis_->url(), 18000);
  Store(writer.get(), "a", Counting(16));
  EXPECT_TRUE(Becomes(&writer, 16, {{"a", 4}}));
  redis_->Kill();
  ASSERT_TRUE(Until([&] { return !writer.remote()->available(); }));
  Store(writer.get(), "b", Counting(72000));
  ASSERT_TRUE(Until([&] { return writer->shared()->IsBehind("b"); }));
  EXPECT_GT(writer.remote()->stats().dropped_keys, 0u);
  Store(writer.get(), "c", Counting(72000));
  ASSERT_TRUE(Until([&] { return writer->shared()->IsBehind("c"); }));
  EXPECT_TRUE(writer->RemovePod("c"));
  EXPECT_FALSE(writer->shared()->IsBehind("c"));  // there is nothing to tell again
  redis_->Start();
  ASSERT_TRUE(Until([&] { return writer.remote()->available(); }));
  ASSERT_TRUE(Until([&] { return writer->shared()->behind() == 0; }));
  EXPECT_TRUE(Becomes(&writer, 72000, {{"a", 4}, {"b", 18000}}));
}

TEST_F(SharedIndexTest, WhatComesAndGoesWhileItIsToldAgainCountsOnce) {
  Member writer(loop_.get(), redis_->url());
  Store(writer.get(), "a", Counting(8000));
  EXPECT_TRUE(Becomes(&writer, 8000, {{"a", 2000}}));
  redis_->Ask({"FLUSHALL"});
  ASSERT_TRUE(Until([&] { return writer->shared()->IsBehind("a"); }));
  const auto keys = KeysOf(Counting(8000));
  int parts = 0;
  int asked = 0;
  ASSERT_TRUE(Until([&] {
    ++asked;
    writer->ScoreThen(keys, {}, [&](const Result<std::vector<NamedScore>>& scores) {
      --asked;
      if (!scores || scores->empty() || scores->front().blocks == 2000) return;
      ++parts;
      EXPECT_TRUE(scores->front().uncertain) << scores->front().blocks;
    });
    // The last blocks go and come in every turn of the pass.
    Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {2100}));
    Store(writer.get(), "a", Counting(8000));
    for (uint64_t hash = 101; hash < 2100; ++hash) {
      Tell(writer.get(), "a", Event(wire::EventType::kRemoved, {hash}));
    }
    return writer->shared()->behind() == 0;
  }));
  ASSERT_TRUE(Until([&] { return asked == 0; }));
  EXPECT_GT(parts, 0);
  EXPECT_TRUE(Becomes(&writer, 8000, {{"a", 2000}}));
  std::vector<uint64_t> all;
  for (uint64_t hash = 101; hash <= 2100; ++hash) all.push_back(hash);
  Tell(writer.get(), "a", Event(wire::EventType::kRemoved, all));
  EXPECT_TRUE(Becomes(&writer, 8000, {}));
  EXPECT_TRUE(Until([&] { return redis_->Ask({"KEYS", "hr:r*"}) == "[]"; }));
}

TEST_F(SharedIndexTest, WhatAnEarlierServerSaidOfAListedPodIsOver) {
  {
    Member before(loop_.get(), redis_->url());
    Store(before.get(), "a", Counting(16));
    Store(before.get(), "b", Counting(8));
    EXPECT_TRUE(Becomes(&before, 16, {{"a", 4}, {"b", 2}}));
  }
  Member after(loop_.get(), redis_->url());
  EXPECT_TRUE(Becomes(&after, 16, {{"a", 4}, {"b", 2}}));
  after->Expect({"a"});
  EXPECT_TRUE(Becomes(&after, 16, {{"b", 2}}));
  Store(after.get(), "b", Counting(4));  // it begins anew as well
  EXPECT_TRUE(Becomes(&after, 16, {{"b", 1}}));
  after->Expect({"a", "b"});  // it has told already
  EXPECT_TRUE(Becomes(&after, 16, {{"b", 1}}));
}

TEST_F(SharedIndexTest, IntentsAreShared) {
  Member writer(loop_.get(), redis_->url());
  Member reader(loop_.get(), redis_->url());
  writer->Expect({"a"});
  const auto keys = KeysOf(Counting(8));
  const FleetIndex::Intent intent{.pod = "a", .tier = "gpu", .keys = keys, .ttl = seconds(2)};
  ASSERT_TRUE(writer->Announce(intent, Time()));
  EXPECT_TRUE(Becomes(&reader, 8, {{"a", 2}}));
  Store(writer.get(), "a", Counting(4));
  writer->digest()->Tick(Time() + seconds(3));
  EXPECT_TRUE(Becomes(&reader, 8, {{"a", 1}}));
  EXPECT_EQ(reader->Announce(intent, Time()).error().code, Errc::kNotFound);
}

TEST_F(SharedIndexTest, LooksUpWhoHoldsABlock) {
  Member writer(loop_.get(), redis_->url());
  Member reader(loop_.get(), redis_->url());
  Store(writer.get(), "a", Counting(8));
  EXPECT_TRUE(Becomes(&reader, 8, {{"a", 2}}));
  const RequestKey second = KeysOf(Counting(8)).at(1);
  std::optional<std::vector<NamedBlock>> found;
  const auto take = [&](const Result<std::vector<NamedBlock>>& blocks) { found = blocks.value(); };
  reader->BlockThen(second, take);
  ASSERT_TRUE(Until([&] { return found.has_value(); }));
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().key, second);
  EXPECT_EQ(found->front().holders.at(0).pod, "a");
  EXPECT_EQ(found->front().holders.at(0).tier, "gpu");
  found.reset();
  writer->BlocksOfThen("m", 102, take);
  ASSERT_TRUE(Until([&] { return found.has_value(); }));
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().key, second);
  EXPECT_NE(found->front().engine, 0u);
}

// Blocks [from, to) of the prompt, told by one pod.
struct Said {
  std::string pod;
  size_t from = 0, to = 0;
  bool gone = false;
  std::string medium = "GPU";
  int group = -1;
  std::string kind;
  std::optional<std::vector<std::string>> serves;
};

class SharedRulesTest : public SharedIndexTest {
 protected:
  static constexpr size_t kBlocks = 12;

  void SetUp() override {
    SharedIndexTest::SetUp();
    truth_ = MakeFleet();
    pods_ = std::make_unique<Member>(loop_.get(), redis_->url());
    nodes_ = std::make_unique<Member>(loop_.get(), redis_->url());
    reader_ = std::make_unique<Member>(loop_.get(), redis_->url());
    // Names all blocks, so that others may begin anywhere.
    Say({.pod = "a", .to = kBlocks, .medium = "REMOTE"});
  }
  // Told to the server that follows the pod, and to one that follows all.
  void Say(const Said& said) {
    std::vector<uint64_t> hashes;
    for (size_t block = said.from; block < said.to; ++block) hashes.push_back(101 + block);
    const auto tokens = Counting(4 * kBlocks);
    wire::Event event =
        Event(said.gone ? wire::EventType::kRemoved : wire::EventType::kStored, hashes);
    event.medium = said.medium;
    event.group = said.group;
    event.spec_kind = said.kind;
    event.sliding_window = 9;  // two keys
    if (!said.gone) event.tokens = std::span(tokens).subspan(4 * said.from, 4 * hashes.size());
    if (!said.gone && said.from > 0) event.parent = 100 + said.from;
    event.block_size = 4;
    std::string serves;
    if (said.serves) serves = wire::PackEventPods(*said.serves);
    event.pods = {reinterpret_cast<const uint8_t*>(serves.data()), serves.size()};
    Tell((said.pod[0] == 'n' ? *nodes_ : *pods_).get(), said.pod, event);
    Tell(truth_.get(), said.pod, event);
  }
  Map Truth() {
    Map scores;
    for (const NamedScore& score : truth_->Score(KeysOf(Counting(4 * kBlocks)), {})) {
      scores[score.pod] = score.score;
    }
    return scores;
  }
  testing::AssertionResult ReaderAgrees() { return Becomes(reader_.get(), 4 * kBlocks, Truth()); }

  std::unique_ptr<FleetIndex> truth_;
  std::unique_ptr<Member> pods_, nodes_, reader_;
};

TEST_F(SharedRulesTest, ANodeCountsForThePodsThatAnotherServerFollows) {
  Say({.pod = "p", .to = 3});
  Say({.pod = "n", .to = 8, .medium = "CPU", .serves = {{"p", "silent"}}});
  const Map truth = Truth();
  EXPECT_DOUBLE_EQ(truth.at("p"), 3 + 5 * 0.8);
  EXPECT_DOUBLE_EQ(truth.at("silent"), 8 * 0.8);
  EXPECT_TRUE(ReaderAgrees());
  Say({.pod = "n", .to = 1, .medium = "CPU", .serves = {{"silent"}}});
  EXPECT_DOUBLE_EQ(Truth().at("p"), 3);
  EXPECT_TRUE(ReaderAgrees());
}

TEST_F(SharedRulesTest, WindowsAndStatesAreCheckedFromElsewhere) {
  Say({.pod = "w", .from = 4, .to = 6, .group = 0, .kind = "sliding_window"});
  EXPECT_EQ(Truth().at("w"), 6);  // nothing in front is needed
  EXPECT_TRUE(ReaderAgrees());
  // Who does not know yet that there are windows must not end at the first gap.
  Member late(loop_.get(), redis_->url());
  ASSERT_TRUE(Until([&] { return late.remote()->available(); }));
  Tell(pods_->get(), "a", Event(wire::EventType::kCleared, {}));
  Tell(truth_.get(), "a", Event(wire::EventType::kCleared, {}));
  EXPECT_TRUE(ReaderAgrees());
  EXPECT_EQ(Score(&late, 4 * kBlocks), Truth());
  Say({.pod = "a", .to = kBlocks, .medium = "REMOTE"});
  Say({.pod = "h", .to = 9, .group = 0, .kind = "full_attention"});
  Say({.pod = "h", .from = 4, .to = 5, .group = 1, .kind = "mamba"});
  EXPECT_EQ(Truth().at("h"), 5);
  EXPECT_TRUE(ReaderAgrees());
}

TEST_F(SharedRulesTest, RulesThatRedisLostAreSaidAgain) {
  Say({.pod = "w", .from = 4, .to = 6, .group = 0, .kind = "sliding_window"});
  Say({.pod = "n", .to = 8, .medium = "CPU", .serves = {{"silent"}}});
  const Map truth = Truth();
  ASSERT_TRUE(ReaderAgrees());
  redis_->Ask({"DEL", "hr:{pods}:rules", "hr:{pods}:rules_version"});
  EXPECT_EQ(Score(reader_.get(), 4 * kBlocks).count("silent"), 0u);
  EXPECT_TRUE(ReaderAgrees());
  redis_->Kill();
  ASSERT_TRUE(Until([&] { return !pods_->remote()->available(); }));
  Say({.pod = "n", .to = 1, .medium = "CPU", .serves = {{"p"}}});  // meanwhile
  redis_->Start();
  EXPECT_TRUE(ReaderAgrees());
  EXPECT_NE(Truth(), truth);
}

TEST_F(SharedRulesTest, WhatAnEarlierServerSaidOfHowPodsCountIsOver) {
  Say({.pod = "w", .from = 4, .to = 6, .group = 0, .kind = "sliding_window"});
  Say({.pod = "n", .to = 8, .medium = "CPU", .serves = {{"silent"}}});
  ASSERT_TRUE(ReaderAgrees());
  EXPECT_EQ(redis_->Ask({"HLEN", "hr:{pods}:rules"}), "2");
  truth_ = MakeFleet();
  pods_ = std::make_unique<Member>(loop_.get(), redis_->url());
  nodes_ = std::make_unique<Member>(loop_.get(), redis_->url());
  Say({.pod = "a", .to = kBlocks, .medium = "REMOTE"});
  Say({.pod = "w", .to = 3});  // the same names, other models
  Say({.pod = "n", .to = 4});
  EXPECT_EQ(Truth().count("silent"), 0u);
  EXPECT_TRUE(ReaderAgrees());
  EXPECT_EQ(redis_->Ask({"HLEN", "hr:{pods}:rules"}), "0");
}

Said RandomOfAPod(Random* random, size_t blocks) {
  const size_t from = random->Below(blocks);
  Said said{.pod = random->Chance(1, 2) ? "w" : "h",
            .from = from,
            .to = from + 1 + random->Below(blocks - from),
            .gone = random->Chance(1, 3),
            .medium = random->Chance(1, 3) ? "CPU" : "GPU",
            .group = 0,
            .kind = "sliding_window"};
  if (said.pod != "h") return said;
  said.group = static_cast<int>(random->Below(2));
  if (said.group == 0) said.kind = "full_attention";
  return said;
}

Said RandomOfANode(Random* random, size_t blocks) {
  std::vector<std::string> serves;
  for (const char* pod : {"w", "h", "silent"}) {
    if (random->Chance(1, 2)) serves.emplace_back(pod);
  }
  return {.pod = random->Chance(1, 2) ? "n1" : "n2",
          .to = 1 + random->Below(blocks),
          .gone = random->Chance(1, 3),
          .medium = "CPU",
          .serves = serves};
}

TEST_F(SharedRulesTest, RandomHistoriesScoreAsAnIndexInMemory) {
  Random random(5);
  std::map<std::string, int> scored;
  for (int round = 0; round < 60; ++round) {
    Say(random.Chance(1, 4) ? RandomOfANode(&random, kBlocks) : RandomOfAPod(&random, kBlocks));
    ASSERT_TRUE(ReaderAgrees()) << round;
    for (const auto& [pod, score] : Truth()) ++scored[pod];
  }
  for (const char* pod : {"w", "h", "silent", "n1", "n2"}) EXPECT_GT(scored[pod], 5) << pod;
}

}  // namespace
}  // namespace headrace::indexer
