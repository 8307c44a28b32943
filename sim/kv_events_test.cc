#include "sim/kv_events.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/wait_rig.h"
#include "sim/kv_samples.h"

namespace headrace::sim {
namespace {

using net::ZmqBytes;

constexpr const char* kTopic = "kv@10.0.0.1:8000@m";
constexpr Duration kNever = seconds(3600);

struct Fixture {
  explicit Fixture(Duration flush = milliseconds(1), size_t batch_events = 16) {
    auto made = net::CreateZmqContext();
    HR_CHECK(made);
    context = std::move(*made);
    sub = Open(net::ZmqType::kSub);
    HR_CHECK(sub->Bind("tcp://127.0.0.1:0") && sub->Subscribe("kv@"));
    config = {.endpoint = sub->endpoint(),
              .replay_endpoint = "tcp://127.0.0.1:0",
              .topic = kTopic,
              .form = {.block_tokens = 4, .rank = 1},
              .batch_events = batch_events,
              .flush = flush};
  }
  void Start() {
    std::string refusal;
    auto made = KvEvents::Create(config, &refusal);
    HR_CHECK(made.has_value());
    events = std::move(*made);
    HR_CHECK(events->Start());
  }
  std::unique_ptr<net::ZmqSocket> Open(net::ZmqType type) {
    auto opened = context->Open(type, {});
    HR_CHECK(opened);
    return std::move(*opened);
  }
  void Store(uint64_t number) {
    StoredSample sample(number);
    events->Take(sample.change);
  }
  bool Gets(net::ZmqSocket* socket) { return socket->Receive(&message).value_or(false); }
  bool Hears(net::ZmqSocket* socket) {
    return Eventually([&] { return Gets(socket); });
  }
  // Stores until the subscription has arrived and one is heard.
  bool Connects() {
    return Eventually([&] {
      Store(++stored);
      return Gets(sub.get());
    });
  }
  // All kept messages from `start` on, into the reader.
  std::vector<uint64_t> Replay(uint64_t start, KvReader* reader) {
    const auto dealer = Open(net::ZmqType::kDealer);
    EXPECT_TRUE(dealer->Connect(events->replay_endpoint()));
    EXPECT_TRUE(net::ZmqSend(dealer.get(), {ZmqBytes(""), ZmqBytes(wire::EncodeSequence(start))}));
    std::vector<uint64_t> sequences;
    while (Hears(dealer.get())) {
      EXPECT_EQ(message.size(), 4u);
      if (message.text(3).empty()) return sequences;
      EXPECT_EQ(message.text(1), kTopic);
      sequences.push_back(wire::DecodeSequence(message[2]).value_or(0));
      reader->Read(message.text(3));
    }
    ADD_FAILURE() << "no end";
    return sequences;
  }

  net::ZmqMessage message;
  uint64_t stored = 0;
  KvEvents::Config config;
  std::unique_ptr<net::ZmqContext> context;
  std::unique_ptr<net::ZmqSocket> sub;
  std::unique_ptr<KvEvents> events;
};

TEST(KvEvents, PublishesToASubscriberThatBinds) {
  Fixture f;
  f.Start();
  ASSERT_TRUE(f.Connects());
  ASSERT_EQ(f.message.size(), 3u);
  EXPECT_EQ(f.message.text(0), kTopic);
  const auto first = wire::DecodeSequence(f.message[1]);
  ASSERT_TRUE(first);
  EXPECT_LT(*first, f.stored);
  KvReader reader;
  reader.Read(f.message.text(2));
  EXPECT_EQ(reader.batch.rank, 1);
  EXPECT_GT(reader.batch.timestamp, 1e9);
  EXPECT_FALSE(reader.blocks.empty());
}

TEST(KvEvents, DialsUntilSomebodyBinds) {
  Fixture f;
  f.sub.reset();  // nobody is there now
  f.Start();
  f.Store(++f.stored);
  ASSERT_TRUE(Eventually([&] { return f.events->numbers().messages == 1; }));
  f.sub = f.Open(net::ZmqType::kSub);
  ASSERT_TRUE(Eventually([&] { return f.sub->Bind(f.config.endpoint).has_value(); }));
  ASSERT_TRUE(f.sub->Subscribe("kv@"));
  EXPECT_TRUE(f.Connects());
}

TEST(KvEvents, BindsWhenItIsTold) {
  Fixture f;
  f.config.endpoint = "tcp://127.0.0.1:0";
  f.config.bind = true;
  f.Start();
  f.sub = f.Open(net::ZmqType::kSub);
  ASSERT_TRUE(f.sub->Subscribe("kv@") && f.sub->Connect(f.events->endpoint()));
  EXPECT_TRUE(f.Connects());
}

// As vLLM does: who follows and finds a first message with another number asks for those before.
TEST(KvEvents, NumbersMessagesFromZeroOnWithoutGaps) {
  Fixture f(kNever, 2);
  f.Start();
  for (uint64_t number = 1; number <= 20; ++number) f.Store(number);
  ASSERT_TRUE(Eventually([&] { return f.events->numbers().messages == 10; }));
  KvReader reader;
  EXPECT_EQ(f.Replay(0, &reader), (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(reader.blocks.size(), 20u);
  EXPECT_EQ(reader.events, 20u);
  KvReader late;
  EXPECT_EQ(f.Replay(8, &late), (std::vector<uint64_t>{8, 9}));
  EXPECT_TRUE(Eventually([&] { return f.events->numbers().replays == 2; }));
}

TEST(KvEvents, HoldsBackWhatIsNotFullUntilItIsTime) {
  Fixture f(kNever, 3);
  f.Start();
  for (uint64_t number = 1; number <= 4; ++number) f.Store(number);
  ASSERT_TRUE(Eventually([&] { return f.events->numbers().messages == 1; }));
  KvReader reader;
  f.Replay(0, &reader);
  EXPECT_EQ(reader.blocks, (std::set<uint64_t>{1, 2, 3}));
  Fixture quick(milliseconds(1), 3);
  quick.Start();
  quick.Store(1);
  EXPECT_TRUE(Eventually([&] { return quick.events->numbers().messages == 1; }));
}

TEST(KvEvents, SendsWhatIsQueuedAtItsEnd) {
  Fixture f;
  f.config.flush = milliseconds(1);
  f.Start();
  ASSERT_TRUE(f.Connects());
  f.events.reset();
  uint64_t heard = wire::DecodeSequence(f.message[1]).value_or(0);
  std::set<uint64_t> blocks;
  EXPECT_TRUE(Eventually([&] {
    while (f.Gets(f.sub.get())) {
      EXPECT_EQ(wire::DecodeSequence(f.message[1]), ++heard);
      KvReader reader;
      reader.Read(f.message.text(2));
      blocks.insert(reader.blocks.begin(), reader.blocks.end());
    }
    return blocks.contains(f.stored);
  }));
}

TEST(KvEvents, TellsWhatTheCacheHolds) {
  Fixture f(milliseconds(1), 4);
  f.config.replay_messages = 1 << 20;
  f.config.queue_batches = 1;
  f.Start();
  KvCache cache({.blocks = 32, .block_tokens = 4, .listener = [&f](const KvChange& change) {
                   f.events->Take(change);
                 }});
  Random random(7);
  std::vector<uint32_t> tokens(64, 5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<wire::BlockHash> hashes;
    const uint64_t chain = random.Below(20);
    for (uint64_t i = random.Below(8); i > 0; --i) {
      hashes.push_back(KvHashOf(chain * 100 + hashes.size() + 1));
    }
    const auto started = cache.Start({.hashes = hashes, .tokens = tokens});
    ASSERT_TRUE(started);
    cache.Filled(started->id, static_cast<uint32_t>(hashes.size()));
    cache.End(started->id);
    if (random.Chance(1, 500)) cache.Clear();
  }
  std::set<uint64_t> kept;
  for (uint64_t chain = 0; chain < 20; ++chain) {
    std::vector<wire::BlockHash> hashes;
    for (uint64_t i = 1; i <= 8; ++i) hashes.push_back(KvHashOf(chain * 100 + i));
    for (uint64_t i = cache.Match(hashes); i > 0; --i) kept.insert(chain * 100 + i);
  }
  EXPECT_EQ(kept.size(), cache.kept_blocks());
  EXPECT_TRUE(Eventually([&] {
    KvReader reader;
    f.Replay(0, &reader);
    return reader.blocks == kept;
  }));
  EXPECT_EQ(f.events->numbers().unsent, 0u);
}

TEST(KvEvents, NamesTheFlagOfAnEndpointThatIsOfNoUse) {
  Fixture f;
  std::string refusal;
  KvEvents::Config config = f.config;
  config.endpoint = "nonsense";
  EXPECT_FALSE(KvEvents::Create(config, &refusal));
  EXPECT_TRUE(refusal.starts_with("--zmq-endpoint: nonsense: ")) << refusal;
  config = f.config;
  config.replay_endpoint = f.sub->endpoint();  // taken
  EXPECT_FALSE(KvEvents::Create(config, &refusal));
  EXPECT_TRUE(refusal.starts_with("--kv-events-replay-endpoint: tcp://127.0.0.1:")) << refusal;
}

TEST(KvTopic, HasTwoForms) {
  EXPECT_EQ(KvTopic("10.0.0.1", 8000, "org/m"), "kv@10.0.0.1:8000@org/m");
  EXPECT_EQ(KvTopic("10.0.0.1", std::nullopt, "org/m"), "kv@10.0.0.1@org/m");
}

TEST(KvEndpointOfRank, CountsPortsUp) {
  EXPECT_EQ(KvEndpointOfRank("tcp://127.0.0.1:5557", 0).value_or(""), "tcp://127.0.0.1:5557");
  EXPECT_EQ(KvEndpointOfRank("tcp://127.0.0.1:5557", 3).value_or(""), "tcp://127.0.0.1:5560");
  EXPECT_EQ(KvEndpointOfRank("tcp://[::1]:5557", 1).value_or(""), "tcp://[::1]:5558");
  EXPECT_EQ(KvEndpointOfRank("tcp://*:*", 1).value_or(""), "tcp://*:*");
  EXPECT_EQ(KvEndpointOfRank("ipc:///run/kv", 2).value_or(""), "ipc:///run/kv.2");
  EXPECT_FALSE(KvEndpointOfRank("tcp://127.0.0.1:65535", 1));
  EXPECT_FALSE(KvEndpointOfRank("nonsense", 0));
}

}  // namespace
}  // namespace headrace::sim
