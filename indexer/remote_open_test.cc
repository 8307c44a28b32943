#include "indexer/remote_open.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <optional>

#include "indexer/fleet_samples.h"
#include "indexer/redis_rig.h"

namespace headrace::indexer {
namespace {

class RemoteOpenTest : public testing::Test {
 protected:
  void SetUp() override {
    HR_NEEDS_REDIS();
    loop_ = std::move(*Loop::Create());
    redis_ = std::make_unique<net::TestRedis>();
    config_.section = "redisConfig";
    config_.address = redis_->url();
  }
  bool Until(const std::function<bool()>& done) { return RunUntil(loop_.get(), done); }
  std::shared_ptr<RemoteIndex> Open(const std::vector<TierWeight>& weights = {}) {
    std::string message;
    auto opened = OpenRemoteIndex(loop_.get(), config_, weights, &message);
    HR_CHECK(opened.has_value());
    HR_CHECK(Until([&] { return (*opened)->available(); }));
    return *opened;
  }
  std::string Refusal() {
    std::string message;
    EXPECT_FALSE(OpenRemoteIndex(loop_.get(), config_, {}, &message).has_value());
    return message;
  }
  void Flush(RemoteIndex* index, const std::string& pod) {
    std::optional<bool> written;
    index->Flush(pod, [&](const Status& status) { written = status.has_value(); });
    ASSERT_TRUE(Until([&] { return written.has_value(); }));
    ASSERT_TRUE(*written);
  }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::TestRedis> redis_;
  RedisConfig config_;
};

TEST_F(RemoteOpenTest, WeighsTiersAsAnIndexInMemory) {
  const std::vector<TierWeight> weights = {{"cpu", 0.25}, {"Tape", 0.1}};
  std::string message;
  const auto memory =
      FleetIndex::Create({.hash = SampleHash(), .weights = weights, .seed = 7}, &message);
  ASSERT_TRUE(memory.has_value());
  const auto shared = FleetIndex::Create({.hash = SampleHash(),
                                          .weights = weights,
                                          .seed = 7,
                                          .remote = Open(weights),
                                          .loop = loop_.get()},
                                         &message);
  ASSERT_TRUE(shared.has_value());
  const std::map<std::string, std::string> pods = {
      {"a", "GPU"}, {"b", "cpu"}, {"c", "DISK"}, {"d", "tape"}, {"e", "moon"}};
  for (const auto& [pod, medium] : pods) {
    Store(memory->get(), pod, Counting(8), medium);
    Store(shared->get(), pod, Counting(8), medium);
    Flush((*shared)->shared()->remote(), pod);
  }
  const auto expected = (*memory)->Score(KeysOf(Counting(12)), {});
  std::vector<NamedScore> scores;
  (*shared)->ScoreThen(KeysOf(Counting(12)), {}, [&](auto answer) { scores = answer.value(); });
  ASSERT_TRUE(Until([&] { return !scores.empty(); }));
  ASSERT_EQ(scores.size(), expected.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i].pod, expected[i].pod);
    EXPECT_DOUBLE_EQ(scores[i].score, expected[i].score) << scores[i].pod;
    EXPECT_DOUBLE_EQ(scores[i].normalized, expected[i].normalized);
    EXPECT_EQ(scores[i].blocks, expected[i].blocks);
  }
}

TEST_F(RemoteOpenTest, RenewsWhatHasATimeToLive) {
  config_.ttl = seconds(4);
  config_.prefix = "t:";
  const auto index = Open();
  index->Describe("a", {.serves = {"b"}});
  index->Clear("a");
  index->Add({.pod = "a"}, {}, std::vector<RequestKey>{7});
  Flush(index.get(), "a");
  const NativeNames names("t:");
  for (const std::string& name : {names.Request(7), names.rules, names.rules_version}) {
    const auto left = [&] { return std::stol(redis_->Ask({"PTTL", name})); };
    EXPECT_LE(left(), 4000);
    long lowest = 4000;
    ASSERT_TRUE(Until([&] {
      const long now = left();
      if (now > lowest + 200) return true;
      lowest = std::min(lowest, now);
      return false;
    })) << name;
    EXPECT_GT(lowest, 1500) << name;  // it was not about to go
  }
}

TEST_F(RemoteOpenTest, HasThePasswordOfAFile) {
  redis_->Ask({"CONFIG", "SET", "requirepass", "red-herring"});
  config_.password_file = redis_->path("password");
  std::ofstream(config_.password_file) << "red-herring\r\nmore\n";
  EXPECT_TRUE(Open()->available());
}

TEST_F(RemoteOpenTest, RefusalNamesTheKeyAndNoPassword) {
  config_.password_file = redis_->path("nothing");
  EXPECT_EQ(Refusal(), "redisConfig.passwordFile: cannot read " + config_.password_file +
                           ": No such file or directory");
  std::ofstream(config_.password_file) << "\n";
  EXPECT_EQ(Refusal(), "redisConfig.passwordFile: " + config_.password_file +
                           ": its first line must be a password of at most 4096 bytes");
  config_.address = "redis://:hush@10.0.0.1";
  EXPECT_EQ(Refusal(), "redisConfig.passwordFile: the address has a password already; keep one");
  config_.address = "redis://:hush@10.0.0.1:http";
  EXPECT_EQ(Refusal().find("redisConfig.address: "), 0u);
  EXPECT_EQ(Refusal().find("hush"), std::string::npos);
}

}  // namespace
}  // namespace headrace::indexer
