#include "indexer/subscriber.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/wait_rig.h"
#include "indexer/ingest_world.h"
#include "indexer/subscriber_topic.h"

namespace headrace::indexer {
namespace {

constexpr const char* kTopic = "kv@pod1@m";

std::string Payload(uint64_t hash, uint64_t parent, uint32_t first_token) {
  const auto tokens = Tokens(first_token, first_token + 3);
  wire::Event event;
  event.type = wire::EventType::kStored;
  event.hashes = {&hash, 1};
  if (parent != 0) event.parent = parent;
  event.tokens = tokens;
  event.block_size = 4;
  wire::EventBatch batch;
  batch.timestamp = static_cast<double>(hash);
  batch.events = {&event, 1};
  std::string payload;
  wire::EncodeEventBatch(batch, {}, &payload);
  return payload;
}

// A publisher as vLLM's: PUB, and a ROUTER that replays a ring; `snapshots` as Headrace's.
class Peer {
 public:
  Peer(net::ZmqContext* zmq, Loop* loop, bool snapshots) : snapshots_(snapshots) {
    pub_ = std::move(*zmq->Open(net::ZmqType::kXpub, {}));
    router_ = std::move(*zmq->Open(net::ZmqType::kRouter, {}));
    HR_CHECK(pub_->Bind("tcp://127.0.0.1:0") && router_->Bind("tcp://127.0.0.1:0"));
    watch_ = std::move(*net::ZmqWatch::Create(loop, router_.get(), [this] { Answer(); }));
  }
  std::string endpoint() const { return pub_->endpoint(); }
  std::string replay_endpoint() const { return router_->endpoint(); }

  // Whether a subscription has come: nothing that is sent from then on is lost.
  bool HasListener() {
    net::ZmqMessage subscription;
    const auto got = pub_->Receive(&subscription);
    listened_ = listened_ || (got && *got);
    return listened_;
  }
  // The next block of the one chain that there is.
  void Publish(bool send) {
    const uint64_t sequence = payloads_.size();
    payloads_.push_back(Payload(100 + sequence, sequence == 0 ? 0 : 99 + sequence,
                                static_cast<uint32_t>(4 * sequence + 1)));
    if (!send) return;
    HR_CHECK(net::ZmqSend(pub_.get(),
                          {net::ZmqBytes(kTopic), net::ZmqBytes(wire::EncodeSequence(sequence)),
                           net::ZmqBytes(payloads_.back())}));
  }
  void ForgetAllBut(size_t kept) { first_ = payloads_.size() - kept; }
  void FallSilent() { silent_ = true; }
  int replays = 0;
  int asked_snapshots = 0;
  int not_understood = 0;

 private:
  void Answer() {
    net::ZmqMessage request;
    while (true) {
      const auto got = router_->Receive(&request);
      if (!got || !*got) return;
      if (!silent_) AnswerOne(request);
    }
  }
  void AnswerOne(const net::ZmqMessage& request) {
    const std::string peer(request.text(0));
    const auto from = wire::DecodeSequence(request[2]);
    if (snapshots_ && request.size() == 4 && request.text(2) == "snapshot") {
      ++asked_snapshots;
      for (const std::string& payload : payloads_) {
        Send(peer, kTopic, payloads_.size() - 1, payload);
      }
      Send(peer, kTopic, payloads_.size() - 1, "");
    } else if (from && (request.size() == 3 || snapshots_)) {
      ++replays;
      for (uint64_t i = std::max<uint64_t>(*from, first_); i < payloads_.size(); ++i) {
        Send(peer, kTopic, i, payloads_[i]);
      }
      Send(peer, "", UINT64_MAX, "");
    } else {
      ++not_understood;
    }
  }
  void Send(const std::string& peer, const std::string& topic, uint64_t sequence,
            const std::string& payload) {
    HR_CHECK(net::ZmqSend(router_.get(),
                          {net::ZmqBytes(peer), net::ZmqBytes(""), net::ZmqBytes(topic),
                           net::ZmqBytes(wire::EncodeSequence(sequence)), net::ZmqBytes(payload)}));
  }

  const bool snapshots_;
  std::unique_ptr<net::ZmqSocket> pub_, router_;
  std::unique_ptr<net::ZmqWatch> watch_;
  std::deque<std::string> payloads_;
  uint64_t first_ = 0;
  bool silent_ = false;
  bool listened_ = false;
};

class SubscriberTest : public ::testing::Test {
 protected:
  SubscriberTest() : loop_(std::move(*Loop::Create())), zmq_(std::move(*net::CreateZmqContext())) {}

  std::unique_ptr<Subscriber> Follow(SubscriberConfig config) {
    config.follow.idle = milliseconds(300);
    config.follow.probe_after = Duration{};
    auto subscriber = Subscriber::Create(Parts(), config);
    HR_CHECK(subscriber);
    return std::move(*subscriber);
  }
  Subscriber::Parts Parts() {
    return {loop_.get(), zmq_.get(), &world_.digest, &world_.pods, &slots_, [] { return 5000.0; }};
  }
  bool Until(const std::function<bool()>& done, const std::function<void()>& meanwhile = nullptr) {
    return RunUntil(loop_.get(), done, meanwhile);
  }
  double Score() { return world_.ScoreOf("pod1", Tokens(1, 400)); }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::ZmqContext> zmq_;
  IngestWorld world_;
  AskSlots slots_;
};

TEST_F(SubscriberTest, ReplaysWhatWasToldBeforeItCameAndFollows) {
  Peer peer(zmq_.get(), loop_.get(), false);
  for (int i = 0; i < 5; ++i) peer.Publish(false);
  auto subscriber =
      Follow({.endpoint = peer.endpoint(), .replay_endpoint = peer.replay_endpoint()});
  ASSERT_TRUE(
      Until([&] { return Score() == 5 && !subscriber->uncertain() && peer.HasListener(); }));
  EXPECT_EQ(peer.replays, 1);  // the question that finds the topics is the stream's own
  EXPECT_EQ(slots_.used(), 0);
  peer.Publish(true);
  ASSERT_TRUE(Until([&] { return Score() == 6; }));
  const auto& counters = world_.counters("pod1");
  EXPECT_EQ(counters.events, 6u);
  EXPECT_DOUBLE_EQ(counters.lag_seconds, 5000.0 - 105);
  EXPECT_EQ(subscriber->pods().size(), 1u);
}

TEST_F(SubscriberTest, FillsAGap) {
  Peer peer(zmq_.get(), loop_.get(), false);
  auto subscriber =
      Follow({.endpoint = peer.endpoint(), .replay_endpoint = peer.replay_endpoint()});
  peer.Publish(false);
  ASSERT_TRUE(Until([&] { return Score() == 1 && peer.HasListener(); }));
  peer.Publish(true);
  ASSERT_TRUE(Until([&] { return Score() == 2; }));
  for (int i = 0; i < 3; ++i) peer.Publish(false);
  peer.Publish(true);
  ASSERT_TRUE(Until([&] { return Score() == 6 && !subscriber->uncertain(); }));
  EXPECT_EQ(subscriber->counters().streams.gaps, 1u);
  uint64_t gaps = 0;
  subscriber->ForEachStream(
      [&](PodId, const FollowCounters& counters, bool) { gaps += counters.gaps; });
  EXPECT_EQ(gaps, 1u);
  EXPECT_EQ(world_.pods.state(world_.FeedOf("pod1").pod), PodState::kLive);
}

TEST_F(SubscriberTest, TakesASnapshotWhenTheRingIsTooShort) {
  Peer peer(zmq_.get(), loop_.get(), true);
  for (int i = 0; i < 50; ++i) peer.Publish(false);
  peer.ForgetAllBut(3);
  auto subscriber =
      Follow({.endpoint = peer.endpoint(), .replay_endpoint = peer.replay_endpoint()});
  ASSERT_TRUE(
      Until([&] { return Score() == 50 && !subscriber->uncertain() && peer.HasListener(); }));
  EXPECT_EQ(peer.asked_snapshots, 1);
  peer.Publish(true);
  ASSERT_TRUE(Until([&] { return Score() == 51; }));
}

TEST_F(SubscriberTest, StaysUncertainWhenNobodyCanTellTheRest) {
  Peer peer(zmq_.get(), loop_.get(), false);
  for (int i = 0; i < 50; ++i) peer.Publish(false);
  peer.ForgetAllBut(3);
  auto subscriber =
      Follow({.endpoint = peer.endpoint(), .replay_endpoint = peer.replay_endpoint()});
  ASSERT_TRUE(Until([&] { return subscriber->counters().streams.applied == 3; }));
  EXPECT_EQ(world_.pods.state(world_.FeedOf("pod1").pod), PodState::kUncertain);
  EXPECT_EQ(world_.digest.pending(), 3u);  // their parents are among the lost
  EXPECT_EQ(peer.not_understood, 1);
  subscriber.reset();
  EXPECT_EQ(world_.pods.state(world_.FeedOf("pod1").pod), PodState::kLive);
}

TEST_F(SubscriberTest, AsksAgainWhenAPeerIsSilent) {
  Peer peer(zmq_.get(), loop_.get(), false);
  peer.FallSilent();
  auto subscriber =
      Follow({.endpoint = peer.endpoint(), .replay_endpoint = peer.replay_endpoint()});
  ASSERT_TRUE(Until([&] { return subscriber->counters().connects > 0; }));
  peer.Publish(false);
  ASSERT_TRUE(Until([&] { return subscriber->counters().streams.replay_failures >= 2; },
                    [&] { peer.Publish(true); }));
  EXPECT_TRUE(subscriber->uncertain());
  EXPECT_LE(slots_.used(), 1);
  subscriber.reset();
  EXPECT_EQ(slots_.used(), 0);
}

TEST_F(SubscriberTest, LetsPublishersDialIn) {
  auto subscriber = Follow({.endpoint = "tcp://127.0.0.1:0", .bind = true});
  auto pub = std::move(*zmq_->Open(net::ZmqType::kPub, {}));
  ASSERT_TRUE(pub->Connect(subscriber->endpoint()));
  ASSERT_TRUE(Until([&] { return subscriber->counters().connects > 0; }));
  const std::string payload = Payload(100, 0, 1);
  ASSERT_TRUE(
      Until([&] { return Score() == 1 && subscriber->counters().malformed > 0; },
            [&] {
              HR_CHECK(net::ZmqSend(
                  pub.get(), {net::ZmqBytes("kv@pod1@m"), net::ZmqBytes(wire::EncodeSequence(0)),
                              net::ZmqBytes(payload)}));
              HR_CHECK(net::ZmqSend(pub.get(), {net::ZmqBytes("kv@pod1@m"), net::ZmqBytes("short"),
                                                net::ZmqBytes(payload)}));
            }));
}

TEST(EventTopic, NamesThePodAndTheModel) {
  const auto topic = ParseEventTopic("kv@10.0.0.1:8000@org/model@rev");
  ASSERT_TRUE(topic);
  EXPECT_EQ(topic->pod, "10.0.0.1:8000");
  EXPECT_EQ(topic->model, "org/model@rev");
  ASSERT_TRUE(ParseEventTopic("kv@pod"));
  EXPECT_EQ(ParseEventTopic("kv@pod")->model, "");
  EXPECT_FALSE(ParseEventTopic("kv@@m"));
  EXPECT_FALSE(ParseEventTopic(""));
  EXPECT_FALSE(ParseEventTopic("other@pod@m"));
}

}  // namespace
}  // namespace headrace::indexer
