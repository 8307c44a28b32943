#include "indexer/subscriber_set.h"

#include <gtest/gtest.h>

#include "base/wait_rig.h"
#include "indexer/ingest_world.h"

namespace headrace::indexer {
namespace {

struct Set {
  std::unique_ptr<Loop> loop = std::move(*Loop::Create());
  std::unique_ptr<net::ZmqContext> zmq = std::move(*net::CreateZmqContext());
  IngestWorld world;
  SubscriberSet set{
      {loop.get(), zmq.get(), &world.digest, &world.pods, nullptr, [] { return 0.0; }}, {}};
};

// [0.0, [["BlockStored", [101], nil, [1, 2, 3, 4], 4]]]
std::string Payload() {
  std::string payload;
  wire::MsgpackWriter writer(&payload);
  writer.Array(2);
  writer.Uint(0);
  writer.Array(1);
  writer.Array(5);
  writer.Str("BlockStored");
  writer.Array(1);
  writer.Uint(101);
  writer.Nil();
  writer.Array(4);
  for (uint64_t token = 1; token <= 4; ++token) writer.Uint(token);
  writer.Uint(4);
  return payload;
}

TEST(SubscriberSet, FollowsAListAndLetsThePodsOfTheOthersGo) {
  Set s;
  auto pub = std::move(*s.zmq->Open(net::ZmqType::kPub, {}));
  ASSERT_TRUE(pub->Bind("tcp://127.0.0.1:0"));
  const EventSource named{"a", "m", pub->endpoint(), "", ""};
  const EventSource other{"b", "m", "tcp://127.0.0.1:1", "", "kv@"};
  s.set.Follow({named, other, {"c", "m", "nonsense", "", ""}});
  EXPECT_EQ(s.set.size(), 2u);
  EXPECT_EQ(s.set.failed(), 1u);
  const std::string payload = Payload();
  ASSERT_TRUE(RunUntil(
      s.loop.get(), [&] { return s.world.ScoreOf("a", Tokens(1, 4)) == 1; },
      [&] {
        // A topic that names no pod: the list does.
        HR_CHECK(net::ZmqSend(pub.get(), {net::ZmqBytes(""), net::ZmqBytes(wire::EncodeSequence(0)),
                                          net::ZmqBytes(payload)}));
      }));
  s.set.Follow({named, other});
  EXPECT_EQ(s.world.ScoreOf("a", Tokens(1, 4)), 1);
  EXPECT_GT(s.set.counters().messages, 0u);
  size_t streams = 0;
  s.set.ForEachStream([&](PodId, const FollowCounters&, bool) { ++streams; });
  EXPECT_EQ(streams, 1u);
  s.set.Follow({other});
  EXPECT_EQ(s.set.size(), 1u);
  EXPECT_TRUE(s.world.Scores(Tokens(1, 4)).empty());
  EXPECT_FALSE(s.world.pods.Find("a"));
}

TEST(SubscriberSet, FollowsPublishersWithAKeyOnlyWithOneOfItsOwn) {
  Set s;
  EventSource keyed{"a", "m", "tcp://127.0.0.1:1", "", "kv@"};
  keyed.server_key = "x";
  s.set.Follow({keyed});
  EXPECT_EQ(s.set.size(), 0u);
  EXPECT_EQ(s.set.failed(), 1u);
}

TEST(SubscriberSet, BindsOnce) {
  Set s;
  ASSERT_TRUE(s.set.Bind("tcp://127.0.0.1:0", "kv@"));
  EXPECT_EQ(s.set.size(), 1u);
  s.set.Follow({});
  EXPECT_NE(s.set.bound(), nullptr);
}

}  // namespace
}  // namespace headrace::indexer
