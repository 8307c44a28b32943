#include "indexer/pod_desk.h"

#include <gtest/gtest.h>

#include "indexer/fleet_samples.h"

namespace headrace::indexer {
namespace {

// Nobody listens behind these endpoints: dialling goes on in the background.
struct Desk {
  std::unique_ptr<Loop> loop = std::move(*Loop::Create());
  std::unique_ptr<net::ZmqContext> zmq = std::move(*net::CreateZmqContext());
  std::unique_ptr<FleetIndex> fleet = MakeFleet();
  SubscriberSet set{
      {loop.get(), zmq.get(), fleet->digest(), fleet->pods(), nullptr, [] { return 0.0; }}, {}};
  PodDesk desk{fleet.get(), &set};

  bool Announces(const std::string& pod) const {
    const auto keys = KeysOf(Counting(4));
    return fleet->Announce({.pod = pod, .tier = "", .keys = keys, .ttl = seconds(1)}, Time())
        .has_value();
  }
};

EventSource Source(const std::string& pod, int port = 1) {
  return {pod, "m", "tcp://127.0.0.1:" + std::to_string(port), "", "kv@"};
}

TEST(PodDesk, FollowsWhatIsPutUntilItIsRemoved) {
  Desk d;
  const ApiReply reply = d.desk.Put(Source("a"));
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.body,
            "{\"pod\":\"a\",\"by\":\"api\",\"endpoint\":\"tcp://127.0.0.1:1\","
            "\"replay_endpoint\":\"\",\"model\":\"m\",\"topic_filter\":\"kv@\"}\n");
  EXPECT_EQ(d.set.size(), 1u);
  EXPECT_EQ(d.desk.Put(Source("a")).status, 200);
  EXPECT_EQ(d.set.size(), 1u);
  EXPECT_EQ(d.desk.Remove("a").body, "{\"removed\":\"a\"}\n");
  EXPECT_EQ(d.set.size(), 0u);
  EXPECT_EQ(d.desk.Remove("a").status, 404);
}

TEST(PodDesk, ReplacesAPodsEndpoint) {
  Desk d;
  d.desk.Put(Source("a", 1));
  EXPECT_EQ(d.desk.Put(Source("a", 2)).status, 200);
  EXPECT_EQ(d.set.size(), 1u);
  EXPECT_NE(d.desk.List().body.find("tcp://127.0.0.1:2"), std::string::npos);
  EXPECT_EQ(d.desk.List().body.find("tcp://127.0.0.1:1"), std::string::npos);
}

TEST(PodDesk, LeavesTheConfigurationAlone) {
  Desk d;
  d.desk.Configure({Source("c")});
  d.desk.Found({Source("f", 2)});
  EXPECT_EQ(d.set.size(), 2u);
  EXPECT_EQ(d.desk.Put(Source("c", 3)).status, 409);
  EXPECT_EQ(d.desk.Put(Source("f", 3)).status, 409);
  d.desk.Put(Source("p", 4));
  d.desk.Found({});
  EXPECT_EQ(d.set.size(), 2u);
  const std::string list = d.desk.List().body;
  EXPECT_NE(list.find("\"pod\":\"c\",\"by\":\"configuration\""), std::string::npos) << list;
  EXPECT_NE(list.find("\"pod\":\"p\",\"by\":\"api\""), std::string::npos) << list;
  EXPECT_EQ(list.find("\"pod\":\"f\""), std::string::npos) << list;
}

TEST(PodDesk, RemovesPodsThatToldSomething) {
  Desk d;
  Store(d.fleet.get(), "a", Counting(8));
  EXPECT_NE(d.desk.List().body.find("{\"pod\":\"a\",\"state\":\"live\"}"), std::string::npos);
  EXPECT_EQ(d.desk.Remove("a").status, 200);
  EXPECT_TRUE(d.fleet->Score(KeysOf(Counting(8)), {}).empty());
  EXPECT_EQ(d.desk.Remove("a").body.find("{\"error\":{\"field\":\"pod\""), 0u);
}

TEST(PodDesk, ExpectsWhatItFollows) {
  Desk d;
  EXPECT_FALSE(d.Announces("a"));
  d.desk.Found({Source("a")});
  EXPECT_TRUE(d.Announces("a"));
  EXPECT_TRUE(d.fleet->pods()->Find("a"));
  d.desk.Found({});  // it never told of anything: nobody else takes it along
  EXPECT_FALSE(d.fleet->pods()->Find("a"));
  EXPECT_FALSE(d.Announces("a"));
}

TEST(PodDesk, RefusesWhatItCannotFollow) {
  Desk d;
  EXPECT_EQ(d.desk.Put(Source("")).status, 400);
  EXPECT_EQ(d.desk.Put(Source(std::string(600, 'x'))).status, 400);
  EXPECT_EQ(d.desk.Put({"a", "", "nonsense", "", ""}).status, 400);
  EXPECT_EQ(d.desk.List().body, "{\"sources\":[],\"pods\":[]}\n");
  PodDesk without(d.fleet.get(), nullptr);
  EXPECT_EQ(without.Put(Source("a")).status, 501);
}

}  // namespace
}  // namespace headrace::indexer
