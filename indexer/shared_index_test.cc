// Fleets that share a real Redis: what one is told, the other answers.
#include "indexer/shared_index.h"

#include <gtest/gtest.h>

#include <optional>

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
  bool Until(const std::function<bool()>& done) { return net::RunUntil(loop_.get(), done); }
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

}  // namespace
}  // namespace headrace::indexer
