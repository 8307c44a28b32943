#include "server/event_publisher.h"

#include <gtest/gtest.h>

#include "base/wait_rig.h"
#include "server/event_samples.h"

namespace headrace::server {
namespace {

struct Fixture {
  Fixture() {
    std::string refusal;
    auto made = EventPublisher::Create(config, &refusal);
    HR_CHECK(made);
    publisher = std::move(*made);
    HR_CHECK(publisher->Start());
    context = std::move(*net::CreateZmqContext());
    sub = std::move(*context->Open(net::ZmqType::kSub, {}));
    dealer = std::move(*context->Open(net::ZmqType::kDealer, {}));
    HR_CHECK(sub->Subscribe("kv@") && sub->Connect(publisher->endpoint()));
    HR_CHECK(dealer->Connect(publisher->replay_endpoint()));
  }
  void Push(QueuedEvent event) {
    HR_CHECK(queue.TryPush(&event));
    publisher->Wake();
  }
  bool Hears(net::ZmqSocket* socket) {
    return Eventually([&] {
      const auto got = socket->Receive(&message);
      return got && *got;
    });
  }

  EventQueue queue{1024, 1 << 20};
  PodBoard pods;
  EventPublisher::Config config{
      .options = {.endpoint = "tcp://127.0.0.1:0", .replay_endpoint = "tcp://127.0.0.1:0"},
      .limits = {},
      .node = "n",
      .max_topics = 8,
      .queue = &queue,
      .pods = &pods};
  std::unique_ptr<EventPublisher> publisher;
  std::unique_ptr<net::ZmqContext> context;
  std::unique_ptr<net::ZmqSocket> sub, dealer;
  net::ZmqMessage message;
};

TEST(EventPublisher, PublishesWhatIsQueued) {
  Fixture f;
  f.Push(TopicEvent(0, "m"));
  // A subscription takes a moment: publish until one is heard.
  uint64_t number = 0;
  ASSERT_TRUE(Eventually([&] {
    f.Push(StoredEvent(++number, 0, 0));
    const auto got = f.sub->Receive(&f.message);
    return got && *got;
  }));
  ASSERT_EQ(f.message.size(), 3u);
  EXPECT_EQ(f.message.text(0), "kv@n@m");
  const auto first = wire::DecodeSequence(f.message[1]);
  ASSERT_TRUE(first);
  EventReader reader;
  reader.Read(std::string(f.message.text(2)));
  EXPECT_FALSE(reader.blocks.empty());
  f.Push(StoredEvent(++number, 0, 0));
  ASSERT_TRUE(f.Hears(f.sub.get()));
  EXPECT_EQ(wire::DecodeSequence(f.message[1]), *first + 1);
}

TEST(EventPublisher, AnswersReplaysAndSnapshots) {
  Fixture f;
  f.Push(TopicEvent(0, "m"));
  f.Push(StoredEvent(1, 0, 0));
  ASSERT_TRUE(Eventually([&] { return f.publisher->numbers().stream.messages == 1; }));
  ASSERT_TRUE(net::ZmqSend(
      f.dealer.get(), {net::ZmqBytes(""), net::ZmqBytes("snapshot"), net::ZmqBytes("kv@n@m")}));
  ASSERT_TRUE(f.Hears(f.dealer.get()));
  ASSERT_EQ(f.message.size(), 4u);
  EventReader reader;
  reader.Read(std::string(f.message.text(3)));
  EXPECT_EQ(reader.blocks, std::set<uint64_t>{1});
  ASSERT_TRUE(f.Hears(f.dealer.get()));
  EXPECT_EQ(wire::DecodeSequence(f.message[2]), 0u);
  EXPECT_EQ(f.message.text(3), "");
  EXPECT_TRUE(Eventually([&] { return f.publisher->numbers().desk.snapshots == 1; }));
}

TEST(EventPublisher, ShowsTheLastSequenceOfEachTopic) {
  Fixture f;
  f.Push(TopicEvent(0, "m"));
  f.Push(StoredEvent(1, 0, 0));
  using Last = std::vector<std::pair<std::string, uint64_t>>;
  EXPECT_TRUE(
      Eventually([&] { return f.publisher->numbers().last_sequences == Last{{"kv@n@m", 0}}; }));
}

TEST(EventPublisher, TellsPodsThatChangeWithoutABlock) {
  Fixture f;
  f.Push(TopicEvent(0, "m"));
  f.Push(StoredEvent(1, 0, 0));
  ASSERT_TRUE(Eventually([&] { return f.publisher->numbers().stream.messages == 1; }));
  const std::vector<std::string_view> pods = {"p"};
  f.pods.Join(1, 1, "m", pods, "org/m");
  f.publisher->Wake();
  ASSERT_TRUE(Eventually([&] { return f.publisher->numbers().stream.messages == 2; }));
  ASSERT_TRUE(net::ZmqSend(
      f.dealer.get(), {net::ZmqBytes(""), net::ZmqBytes("snapshot"), net::ZmqBytes("kv@n@m")}));
  ASSERT_TRUE(f.Hears(f.dealer.get()));
  EventReader reader;
  reader.Read(std::string(f.message.text(3)));
  EXPECT_EQ(reader.pods, (std::vector<std::vector<std::string>>{{"p"}}));
  EXPECT_EQ(reader.models, std::vector<std::string>{"org/m"});
  EXPECT_EQ(reader.blocks, std::set<uint64_t>{1});
}

TEST(EventPublisher, RefusesAnEndpointInUseByItsOption) {
  Fixture f;
  EventPublisher::Config second = f.config;
  second.options.endpoint = f.publisher->endpoint();
  std::string message;
  EXPECT_FALSE(EventPublisher::Create(second, &message));
  EXPECT_EQ(message.find("--events-endpoint"), 0u) << message;
}

}  // namespace
}  // namespace headrace::server
