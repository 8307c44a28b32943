#include "sim/kv_replay.h"

#include <gtest/gtest.h>

#include "base/wait_rig.h"
#include "wire/event.h"

namespace headrace::sim {
namespace {

using Progress = net::AnswerDesk::Progress;
using net::ZmqBytes;

constexpr uint64_t kEnd = UINT64_MAX;

struct Fixture {
  explicit Fixture(size_t messages = 1000) {
    auto made = net::CreateZmqContext();
    HR_CHECK(made);
    context = std::move(*made);
    auto opened = context->Open(net::ZmqType::kRouter, {.send_limit = 1});
    HR_CHECK(opened);
    router = std::move(*opened);
    HR_CHECK(router->Bind("inproc://replay"));
    replay = std::make_unique<KvReplay>(router.get(), "kv@t", messages);
  }
  void Keep(uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; ++i) replay->Keep(i, "payload" + std::to_string(i));
  }
  std::unique_ptr<net::ZmqSocket> Client() {
    auto opened = context->Open(net::ZmqType::kDealer, {.receive_limit = 1});
    HR_CHECK(opened && (*opened)->Connect("inproc://replay"));
    return std::move(*opened);
  }
  static void Ask(net::ZmqSocket* client, uint64_t start) {
    EXPECT_TRUE(net::ZmqSend(client, {ZmqBytes(""), ZmqBytes(wire::EncodeSequence(start))}));
  }
  Progress Turn() {
    replay->Receive(now);
    return replay->Advance(now);
  }
  // Sequences that arrive, up to the end; checks what comes with them.
  std::vector<uint64_t> Answer(net::ZmqSocket* client) {
    std::vector<uint64_t> sequences;
    bool ended = false;
    const bool all = Eventually([&] {
      Turn();
      while (!ended && client->Receive(&message).value_or(false)) {
        EXPECT_EQ(message.size(), 4u);
        EXPECT_EQ(message.text(0), "");
        const auto sequence = wire::DecodeSequence(message[2]);
        ended = sequence == kEnd;
        EXPECT_EQ(message.text(1), ended ? "" : "kv@t");
        EXPECT_EQ(message.text(3), ended ? "" : "payload" + std::to_string(*sequence));
        if (!ended) sequences.push_back(*sequence);
      }
      return ended;
    });
    EXPECT_TRUE(all);
    return sequences;
  }

  Time now;
  net::ZmqMessage message;
  std::unique_ptr<net::ZmqContext> context;
  std::unique_ptr<net::ZmqSocket> router;
  std::unique_ptr<KvReplay> replay;
};

using Sequences = std::vector<uint64_t>;

TEST(KvReplay, AnswersFromASequenceOn) {
  Fixture f;
  f.Keep(1, 5);
  const auto client = f.Client();
  Fixture::Ask(client.get(), 3);
  EXPECT_EQ(f.Answer(client.get()), (Sequences{3, 4, 5}));
  Fixture::Ask(client.get(), 0);
  EXPECT_EQ(f.Answer(client.get()), (Sequences{1, 2, 3, 4, 5}));
  Fixture::Ask(client.get(), 6);
  EXPECT_EQ(f.Answer(client.get()), Sequences{});
  Fixture::Ask(client.get(), kEnd);
  EXPECT_EQ(f.Answer(client.get()), Sequences{});
  EXPECT_EQ(f.replay->counts().answered, 4u);
}

TEST(KvReplay, KeepsOnlyTheLast) {
  Fixture f(3);
  const auto client = f.Client();
  Fixture::Ask(client.get(), 1);
  EXPECT_EQ(f.Answer(client.get()), Sequences{});
  f.Keep(1, 7);
  Fixture::Ask(client.get(), 1);
  EXPECT_EQ(f.Answer(client.get()), (Sequences{5, 6, 7}));
  Fixture::Ask(client.get(), 6);
  EXPECT_EQ(f.Answer(client.get()), (Sequences{6, 7}));
}

TEST(KvReplay, LetsAStuckClientHoldUpNobody) {
  Fixture f;
  f.Keep(1, 50);
  const auto stuck = f.Client(), quick = f.Client();
  Fixture::Ask(stuck.get(), 1);
  EXPECT_TRUE(Eventually([&] { return f.Turn() == Progress::kWaiting; }));
  Fixture::Ask(quick.get(), 1);
  EXPECT_EQ(f.Answer(quick.get()).size(), 50u);
  f.Keep(51, 60);
  EXPECT_EQ(f.Answer(stuck.get()).size(), 50u);  // what was out when it asked
}

TEST(KvReplay, SkipsWhatIsForgottenWhileAClientIsStuck) {
  Fixture f(50);
  f.Keep(1, 50);
  const auto stuck = f.Client();
  Fixture::Ask(stuck.get(), 1);
  EXPECT_TRUE(Eventually([&] { return f.Turn() == Progress::kWaiting; }));
  f.Keep(51, 90);
  const Sequences got = f.Answer(stuck.get());
  ASSERT_GE(got.size(), 10u);
  EXPECT_EQ(got.front(), 1u);
  EXPECT_EQ(got.back(), 50u);
  EXPECT_EQ(Sequences(got.end() - 10, got.end()),
            (Sequences{41, 42, 43, 44, 45, 46, 47, 48, 49, 50}));
  EXPECT_LT(got.size(), 50u);
}

TEST(KvReplay, GivesUpAClientThatTakesNothing) {
  Fixture f;
  f.Keep(1, 50);
  const auto stuck = f.Client();
  Fixture::Ask(stuck.get(), 1);
  EXPECT_TRUE(Eventually([&] { return f.Turn() == Progress::kWaiting; }));
  f.now += seconds(11);
  EXPECT_EQ(f.Turn(), Progress::kIdle);
  EXPECT_EQ(f.replay->counts().abandoned, 1u);
}

TEST(KvReplay, RefusesWhenTooManyWait) {
  Fixture f;
  f.Keep(1, 50);
  const auto stuck = f.Client(), late = f.Client();
  for (size_t i = 0; i < KvReplay::kMaxRequests; ++i) {
    ASSERT_TRUE(Eventually([&] {
      const bool sent =
          net::ZmqSend(stuck.get(), {ZmqBytes(""), ZmqBytes(wire::EncodeSequence(1))}).has_value();
      f.Turn();
      return sent;
    }));
  }
  for (size_t i = 0; i < KvReplay::kMaxRequests; ++i) f.Turn();
  Fixture::Ask(late.get(), 1);
  EXPECT_TRUE(Eventually([&] {
    f.Turn();
    return late->Receive(&f.message).value_or(false);
  }));
  EXPECT_EQ(f.message.text(2), "busy");
  EXPECT_EQ(f.replay->counts().refused, 1u);
}

TEST(KvReplay, CountsWhatIsNoRequest) {
  Fixture f;
  const auto client = f.Client();
  EXPECT_TRUE(net::ZmqSend(client.get(), {ZmqBytes(""), ZmqBytes("1234567")}));
  EXPECT_TRUE(net::ZmqSend(client.get(), {ZmqBytes("x"), ZmqBytes("12345678")}));
  EXPECT_TRUE(net::ZmqSend(client.get(), {ZmqBytes("12345678")}));
  EXPECT_TRUE(Eventually([&] {
    f.Turn();
    return f.replay->counts().malformed == 3;
  }));
}

}  // namespace
}  // namespace headrace::sim
