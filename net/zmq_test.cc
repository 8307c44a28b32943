#include "net/zmq.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/wait_rig.h"

namespace headrace::net {
namespace {

std::unique_ptr<ZmqContext> Context() {
  auto context = CreateZmqContext();
  HR_CHECK(context);
  return std::move(*context);
}

std::unique_ptr<ZmqSocket> Open(ZmqContext* context, ZmqType type, const ZmqOptions& options = {}) {
  auto socket = context->Open(type, options);
  HR_CHECK(socket);
  return std::move(*socket);
}

bool Arrives(ZmqSocket* socket, ZmqMessage* message) {
  return Eventually([&] {
    const auto got = socket->Receive(message);
    return got && *got;
  });
}

bool PeerEvent(ZmqSocket* socket, ZmqPeerEvent::Kind kind) {
  return Eventually([&] {
    ZmqPeerEvent event;
    while (socket->NextPeerEvent(&event)) {
      if (event.kind == kind) return true;
    }
    return false;
  });
}

TEST(ZmqMessage, KeepsFramesApart) {
  ZmqMessage message;
  message.Add(ZmqBytes("one"));
  message.Add(ZmqBytes(""));
  message.Add(ZmqBytes("three"));
  ASSERT_EQ(message.size(), 3U);
  EXPECT_EQ(message.text(0), "one");
  EXPECT_EQ(message.text(1), "");
  EXPECT_EQ(message.text(2), "three");
  message.Clear();
  EXPECT_EQ(message.size(), 0U);
}

TEST(ZmqSocket, TellsThePortThatWasTaken) {
  auto context = Context();
  auto router = Open(context.get(), ZmqType::kRouter);
  ASSERT_TRUE(router->Bind("tcp://127.0.0.1:0"));
  const std::string endpoint = router->endpoint();
  EXPECT_TRUE(endpoint.starts_with("tcp://127.0.0.1:")) << endpoint;
  EXPECT_FALSE(endpoint.ends_with(":0")) << endpoint;
}

TEST(ZmqSocket, RefusesAnEndpointInUseAndOneThatIsNone) {
  auto context = Context();
  auto one = Open(context.get(), ZmqType::kRouter);
  auto two = Open(context.get(), ZmqType::kRouter);
  ASSERT_TRUE(one->Bind("tcp://127.0.0.1:0"));
  const Status taken = two->Bind(one->endpoint());
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().os, EADDRINUSE);
  const Status nonsense = two->Bind("nonsense");
  ASSERT_FALSE(nonsense);
  EXPECT_EQ(nonsense.error().code, Errc::kInvalid);
}

TEST(ZmqSocket, CarriesFramesBetweenDealerAndRouter) {
  auto context = Context();
  auto router = Open(context.get(), ZmqType::kRouter);
  auto dealer = Open(context.get(), ZmqType::kDealer);
  ASSERT_TRUE(router->Bind("tcp://127.0.0.1:0"));
  ASSERT_TRUE(dealer->Connect(router->endpoint()));
  ASSERT_TRUE(ZmqSend(dealer.get(), {ZmqBytes(""), ZmqBytes("ask")}));
  ZmqMessage message;
  ASSERT_TRUE(Arrives(router.get(), &message));
  ASSERT_EQ(message.size(), 3U);
  EXPECT_EQ(message.text(2), "ask");
  ASSERT_TRUE(ZmqSend(router.get(), {message[0], ZmqBytes(""), ZmqBytes("answer")}));
  ASSERT_TRUE(Arrives(dealer.get(), &message));
  ASSERT_EQ(message.size(), 2U);
  EXPECT_EQ(message.text(1), "answer");
}

TEST(ZmqSocket, SaysThatAPeerIsGone) {
  auto context = Context();
  auto router = Open(context.get(), ZmqType::kRouter);
  ASSERT_TRUE(router->Bind("inproc://gone"));
  const Status sent = ZmqSend(router.get(), {ZmqBytes("nobody"), ZmqBytes("x")});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::kNotFound);
}

TEST(ZmqSocket, SaysThatAPeersQueueIsFull) {
  auto context = Context();
  auto dealer = Open(context.get(), ZmqType::kDealer, {.send_limit = 3});
  ASSERT_TRUE(dealer->Connect("tcp://127.0.0.1:9"));  // nobody takes anything there
  Status sent;
  int count = 0;
  for (; sent && count < 100; ++count) sent = ZmqSend(dealer.get(), {ZmqBytes("x")});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::kLimit);
  EXPECT_LE(count, 4);
}

TEST(ZmqSocket, ThrowsAwayFramesBeyondTheLimit) {
  auto context = Context();
  auto router = Open(context.get(), ZmqType::kRouter);
  auto dealer = Open(context.get(), ZmqType::kDealer);
  ASSERT_TRUE(router->Bind("inproc://frames"));
  ASSERT_TRUE(dealer->Connect("inproc://frames"));
  const std::vector<std::span<const uint8_t>> frames(100, ZmqBytes("frame"));
  ASSERT_TRUE(dealer->Send(frames));
  ASSERT_TRUE(ZmqSend(dealer.get(), {ZmqBytes("next")}));
  ZmqMessage message;
  ASSERT_TRUE(Arrives(router.get(), &message));
  EXPECT_EQ(message.size(), ZmqMessage::kMaxFrames);
  EXPECT_TRUE(message.truncated());
  ASSERT_TRUE(Arrives(router.get(), &message));
  EXPECT_FALSE(message.truncated());
  EXPECT_EQ(message.text(1), "next");
}

TEST(ZmqSocket, HearsOnlyItsTopics) {
  auto context = Context();
  auto pub = Open(context.get(), ZmqType::kXpub);
  auto sub = Open(context.get(), ZmqType::kSub);
  ASSERT_TRUE(pub->Bind("tcp://127.0.0.1:0"));
  ASSERT_TRUE(sub->Subscribe("kv@a"));
  ASSERT_TRUE(sub->Connect(pub->endpoint()));
  ZmqMessage message;
  ASSERT_TRUE(Arrives(pub.get(), &message));  // the subscription
  ASSERT_TRUE(ZmqSend(pub.get(), {ZmqBytes("kv@b"), ZmqBytes("no")}));
  ASSERT_TRUE(ZmqSend(pub.get(), {ZmqBytes("kv@a"), ZmqBytes("yes")}));
  ASSERT_TRUE(Arrives(sub.get(), &message));
  EXPECT_EQ(message.text(1), "yes");
}

TEST(ZmqSocket, TellsOfConnectionsAndTheirEnds) {
  auto context = Context();
  auto sub = Open(context.get(), ZmqType::kSub, {.reconnect = milliseconds(5)});
  ASSERT_TRUE(sub->WatchPeers());
  auto pub = Open(context.get(), ZmqType::kPub);
  ASSERT_TRUE(pub->Bind("tcp://127.0.0.1:0"));
  const std::string endpoint = pub->endpoint();
  ASSERT_TRUE(sub->Connect(endpoint));
  EXPECT_TRUE(PeerEvent(sub.get(), ZmqPeerEvent::Kind::kConnected));
  pub.reset();
  EXPECT_TRUE(PeerEvent(sub.get(), ZmqPeerEvent::Kind::kDisconnected));
  pub = Open(context.get(), ZmqType::kPub);
  ASSERT_TRUE(Eventually([&] { return pub->Bind(endpoint).has_value(); }));
  EXPECT_TRUE(PeerEvent(sub.get(), ZmqPeerEvent::Kind::kConnected));
}

// A server that knows `known`, and a client with `client` keys that trusts `server`.
struct CurvePair {
  CurvePair(const CurveKeys& server, const std::vector<std::string>& known, const CurveKeys& client,
            const std::string& trusted) {
    HR_CHECK(context->AllowClients(known));
    router = Open(context.get(), ZmqType::kRouter, {.curve = ZmqCurve{server, ""}});
    HR_CHECK(router->Bind("tcp://127.0.0.1:0"));
    dealer = Open(context.get(), ZmqType::kDealer, {.curve = ZmqCurve{client, trusted}});
    HR_CHECK(dealer->WatchPeers());
    HR_CHECK(dealer->Connect(router->endpoint()));
    HR_CHECK(ZmqSend(dealer.get(), {ZmqBytes("hello")}));
  }
  std::unique_ptr<ZmqContext> context = Context();
  std::unique_ptr<ZmqSocket> router, dealer;
};

CurveKeys Keys() {
  auto keys = MakeCurveKeys();
  HR_CHECK(keys);
  return *keys;
}

TEST(ZmqCurve, LetsAKnownClientIn) {
  const CurveKeys server = Keys();
  const CurveKeys client = Keys();
  CurvePair pair(server, {Keys().public_key, client.public_key}, client, server.public_key);
  ZmqMessage message;
  ASSERT_TRUE(Arrives(pair.router.get(), &message));
  EXPECT_EQ(message.text(1), "hello");
  EXPECT_EQ(pair.context->clients_refused(), 0U);
}

TEST(ZmqCurve, KeepsAnUnknownClientOut) {
  const CurveKeys server = Keys();
  CurvePair pair(server, {Keys().public_key}, Keys(), server.public_key);
  EXPECT_TRUE(PeerEvent(pair.dealer.get(), ZmqPeerEvent::Kind::kRefused));
  EXPECT_TRUE(Eventually([&] { return pair.context->clients_refused() > 0; }));
  ZmqMessage message;
  const auto got = pair.router->Receive(&message);
  EXPECT_TRUE(got && !*got);
}

TEST(ZmqCurve, KeepsAClientOfAnotherServerOut) {
  const CurveKeys client = Keys();
  CurvePair pair(Keys(), {client.public_key}, client, Keys().public_key);
  EXPECT_TRUE(PeerEvent(pair.dealer.get(), ZmqPeerEvent::Kind::kRefused) ||
              PeerEvent(pair.dealer.get(), ZmqPeerEvent::Kind::kDisconnected));
  ZmqMessage message;
  const auto got = pair.router->Receive(&message);
  EXPECT_TRUE(got && !*got);
}

TEST(ZmqCurve, KeepsAClientInTheClearOut) {
  auto context = Context();
  const CurveKeys server = Keys();
  auto router = Open(context.get(), ZmqType::kRouter, {.curve = ZmqCurve{server, ""}});
  ASSERT_TRUE(router->Bind("tcp://127.0.0.1:0"));
  auto dealer = Open(context.get(), ZmqType::kDealer);
  ASSERT_TRUE(dealer->WatchPeers());
  ASSERT_TRUE(dealer->Connect(router->endpoint()));
  EXPECT_TRUE(Eventually([&] {
    ZmqPeerEvent event;
    return dealer->NextPeerEvent(&event) && event.kind != ZmqPeerEvent::Kind::kConnected;
  }));
}

TEST(ZmqCurve, RefusesKeysThatAreNone) {
  auto context = Context();
  EXPECT_FALSE(context->AllowClients({"short"}));
  EXPECT_FALSE(context->Open(ZmqType::kPub, {.curve = ZmqCurve{{"", "short"}, ""}}));
  EXPECT_FALSE(CurvePublicKey("short"));
  const CurveKeys keys = Keys();
  EXPECT_EQ(CurvePublicKey(keys.secret_key).value(), keys.public_key);
}

std::unique_ptr<Loop> MakeLoop() {
  auto loop = Loop::Create();
  HR_CHECK(loop);
  return std::move(*loop);
}

// More messages than a turn serves, and sends in between that swallow the descriptor's ring: all
// are served none the less.
TEST(ZmqWatch, ServesAllThoughSendsSwallowTheRing) {
  constexpr int kMessages = 3000;
  auto context = Context();
  auto router = Open(context.get(), ZmqType::kRouter,
                     {.send_limit = 2 * kMessages, .receive_limit = 2 * kMessages});
  ASSERT_TRUE(router->Bind("tcp://127.0.0.1:0"));
  const std::string endpoint = router->endpoint();
  auto loop = MakeLoop();
  int served = 0;
  std::atomic<bool> done = false;
  ZmqMessage message;
  auto watch = ZmqWatch::Create(loop.get(), router.get(), [&] {
    const auto got = router->Receive(&message);
    if (!got || !*got) return;
    ASSERT_TRUE(ZmqSend(router.get(), {message[0], message[1]}));
    if (++served == kMessages) loop->Stop();
  });
  ASSERT_TRUE(watch);
  loop->At(MonotonicNow() + kPatience, [&] { loop->Stop(); });
  std::thread client([&] {
    auto dealer = Open(context.get(), ZmqType::kDealer, {.send_limit = 2 * kMessages});
    HR_CHECK(dealer->Connect(endpoint));
    ZmqMessage echo;
    for (int i = 0; i < kMessages; ++i) {
      HR_CHECK(ZmqSend(dealer.get(), {ZmqBytes("x")}));
      if (i % 100 == 0) HR_CHECK(Arrives(dealer.get(), &echo));  // else all come in one turn
    }
    Eventually([&] { return done.load(); });  // what the socket has not sent goes with it
  });
  loop->Run();
  done = true;
  watch->reset();
  client.join();
  EXPECT_EQ(served, kMessages);
}

TEST(ZmqWatch, ServesWhatCameBeforeIt) {
  auto context = Context();
  auto router = Open(context.get(), ZmqType::kRouter);
  auto dealer = Open(context.get(), ZmqType::kDealer);
  ASSERT_TRUE(router->Bind("inproc://before"));
  ASSERT_TRUE(dealer->Connect("inproc://before"));
  ASSERT_TRUE(ZmqSend(dealer.get(), {ZmqBytes("x")}));
  ASSERT_TRUE(Eventually([&] { return router->readable(); }));  // the ring is swallowed here
  auto loop = MakeLoop();
  ZmqMessage message;
  bool served = false;
  auto watch = ZmqWatch::Create(loop.get(), router.get(), [&] {
    const auto got = router->Receive(&message);
    served = got && *got;
    loop->Stop();
  });
  ASSERT_TRUE(watch);
  loop->At(MonotonicNow() + kPatience, [&] { loop->Stop(); });
  loop->Run();
  EXPECT_TRUE(served);
}

TEST(ZmqContext, EndsWhileSocketsHaveUnsentMessages) {
  auto context = Context();
  auto dealer = Open(context.get(), ZmqType::kDealer);
  ASSERT_TRUE(dealer->Connect("tcp://127.0.0.1:9"));
  ASSERT_TRUE(ZmqSend(dealer.get(), {ZmqBytes("x")}));
  context.reset();  // the socket outlives it
  ASSERT_TRUE(ZmqSend(dealer.get(), {ZmqBytes("y")}));
}

}  // namespace
}  // namespace headrace::net
