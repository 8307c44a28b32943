#include "sim/server_api.h"

#include <gtest/gtest.h>

#include "indexer/discovery.h"

namespace headrace::sim {
namespace {

TEST(ServerApi, TellsWhetherItSleeps) {
  EXPECT_EQ(IsSleepingBody(true), R"({"is_sleeping":true})");
  EXPECT_EQ(IsSleepingBody(false), R"({"is_sleeping":false})");
}

TEST(ServerApi, ReadsHowToSleep) {
  EXPECT_EQ(ParseSleep("")->level, 1u);
  EXPECT_EQ(ParseSleep("")->mode, "abort");
  EXPECT_EQ(ParseSleep("level=2&mode=wait")->level, 2u);
  EXPECT_EQ(ParseSleep("level=2&mode=wait")->mode, "wait");
  EXPECT_EQ(ParseSleep("&other=1&level=0")->level, 0u);
  for (const char* bad : {"level=3", "level=-1", "level=", "level", "level=1x"}) {
    ASSERT_FALSE(ParseSleep(bad)) << bad;
    EXPECT_EQ(ParseSleep(bad).error().status, 400);
    EXPECT_EQ(ParseSleep(bad).error().param, "level");
  }
  EXPECT_EQ(ParseSleep("mode=dream").error().param, "mode");
}

TEST(ServerApi, ReadsWhatToWake) {
  EXPECT_TRUE(ParseWakeUp("").tags.empty());
  EXPECT_TRUE(ParseWakeUp("").wakes_kv_cache());
  EXPECT_FALSE(ParseWakeUp("tags=weights").wakes_kv_cache());
  const WakeUpCall both = ParseWakeUp("tags=weights&tags=kv%5fcache&x=1");
  EXPECT_EQ(both.tags, (std::vector<std::string>{"weights", "kv_cache"}));
  EXPECT_TRUE(both.wakes_kv_cache());
  // An escape that is none stands for itself.
  EXPECT_EQ(ParseWakeUp("tags=a%zz+%4").tags, std::vector<std::string>{"a%zz %4"});
}

TEST(ServerApi, AnswersAsTheBootstrapServerOfMooncake) {
  EXPECT_EQ(MooncakeQueryBody({}), "{}");
  EXPECT_EQ(MooncakeQueryBody(std::vector<MooncakeRank>{{0, "a\"b"}, {1, "c"}}),
            R"({"0":{"engine_id":"a\"b"},"1":{"engine_id":"c"}})");
}

TEST(ServerApi, NamesEventSourcesAsTheIndexerReadsThem) {
  const std::vector<KvEventSource> sources = {
      {.rank = 0,
       .endpoint = "tcp://*:5557",
       .replay_endpoint = "tcp://*:5657",
       .topic = "kv@10.0.0.1@m"},
      {.rank = 1, .endpoint = "tcp://10.0.0.1:5558"},
      {.rank = 2},
  };
  const auto read = indexer::ParseEventSources(KvEventSourcesBody(sources), "10.0.0.1:8000");
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2u);  // the third is off
  EXPECT_EQ((*read)[0].endpoint, "tcp://10.0.0.1:5557");
  EXPECT_EQ((*read)[0].replay_endpoint, "tcp://10.0.0.1:5657");
  EXPECT_EQ((*read)[0].topic_filter, "kv@10.0.0.1@m");
  EXPECT_EQ((*read)[1].endpoint, "tcp://10.0.0.1:5558");
  EXPECT_EQ((*read)[1].replay_endpoint, "");
  EXPECT_EQ(KvEventSourcesBody({}), "{}");
}

}  // namespace
}  // namespace headrace::sim
