#include "cli/event_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/wait_rig.h"
#include "wire/event.h"

namespace headrace::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// A publisher with a replay socket: payloads are "<life>.<sequence>".
class Peer {
 public:
  Peer(net::ZmqContext* zmq, Loop* loop) {
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
  void Publish(const std::string& topic, uint64_t sequence, bool heard = true) {
    kept_.push_back({topic, sequence});
    if (!heard) return;
    HR_CHECK(net::ZmqSend(pub_.get(),
                          {net::ZmqBytes(topic), net::ZmqBytes(wire::EncodeSequence(sequence)),
                           net::ZmqBytes(PayloadOf(sequence))}));
  }
  void ForgetAllBut(size_t kept) {
    kept_.erase(kept_.begin(), kept_.end() - static_cast<ptrdiff_t>(kept));
  }
  void BeginAnew() {
    kept_.clear();
    life_ = "second";
  }

 private:
  std::string PayloadOf(uint64_t sequence) const { return life_ + "." + std::to_string(sequence); }
  void Answer() {
    net::ZmqMessage request;
    while (true) {
      const auto got = router_->Receive(&request);
      if (!got || !*got) return;
      const std::string peer(request.text(0));
      const auto from = wire::DecodeSequence(request[2]);
      HR_CHECK(from && request.size() == 3);
      for (const auto& [topic, sequence] : kept_) {
        if (sequence >= *from) Reply(peer, topic, sequence, PayloadOf(sequence));
      }
      Reply(peer, "", UINT64_MAX, "");
    }
  }
  void Reply(const std::string& peer, const std::string& topic, uint64_t sequence,
             const std::string& payload) {
    HR_CHECK(net::ZmqSend(router_.get(),
                          {net::ZmqBytes(peer), net::ZmqBytes(""), net::ZmqBytes(topic),
                           net::ZmqBytes(wire::EncodeSequence(sequence)), net::ZmqBytes(payload)}));
  }

  std::unique_ptr<net::ZmqSocket> pub_, router_;
  std::unique_ptr<net::ZmqWatch> watch_;
  std::vector<std::pair<std::string, uint64_t>> kept_;
  std::string life_ = "first";
  bool listened_ = false;
};

class EventTailTest : public ::testing::Test {
 protected:
  EventTailTest()
      : loop_(std::move(*Loop::Create())),
        zmq_(std::move(*net::CreateZmqContext())),
        peer_(zmq_.get(), loop_.get()) {}

  void Listen(bool replay, const std::string& topic = "") {
    EventTail::Config config;
    config.endpoint = peer_.endpoint();
    if (replay) config.replay_endpoint = peer_.replay_endpoint();
    config.topic_filter = topic;
    config.follow.probe_after = Duration{};
    auto tail = EventTail::Create(
        loop_.get(), zmq_.get(), config,
        {[this](const indexer::FollowMessage& message) {
           heard_.push_back(std::string(message.topic) + " " + std::string(message.payload));
         },
         [this](const std::string& text) { notes_.push_back(text); }});
    HR_CHECK(tail);
    tail_ = std::move(*tail);
    ASSERT_TRUE(Until([this] { return peer_.HasListener(); }));
  }
  bool Until(const std::function<bool()>& done) { return RunUntil(loop_.get(), done); }
  bool Hears(size_t count) {
    return Until([&] { return heard_.size() >= count; });
  }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::ZmqContext> zmq_;
  Peer peer_;
  std::unique_ptr<EventTail> tail_;
  std::vector<std::string> heard_;
  std::vector<std::string> notes_;
};

TEST_F(EventTailTest, BeginsWithWhatIsKeptAndGoesOnLive) {
  for (uint64_t i = 0; i < 3; ++i) peer_.Publish("a", i, false);
  Listen(true);
  ASSERT_TRUE(Hears(3));
  peer_.Publish("a", 3);
  ASSERT_TRUE(Hears(4));
  EXPECT_THAT(heard_, ElementsAre("a first.0", "a first.1", "a first.2", "a first.3"));
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(EventTailTest, FillsAGapInItsOrder) {
  Listen(true);
  peer_.Publish("a", 0);
  ASSERT_TRUE(Hears(1));
  peer_.Publish("a", 1, false);
  peer_.Publish("a", 2, false);
  peer_.Publish("a", 3);
  ASSERT_TRUE(Hears(4));
  EXPECT_THAT(heard_, ElementsAre("a first.0", "a first.1", "a first.2", "a first.3"));
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(EventTailTest, SaysWhatStaysLost) {
  Listen(true);
  peer_.Publish("a", 0);
  ASSERT_TRUE(Hears(1));
  for (uint64_t i = 1; i < 4; ++i) peer_.Publish("a", i, false);
  peer_.ForgetAllBut(1);
  peer_.Publish("a", 4);
  ASSERT_TRUE(Hears(3));
  EXPECT_THAT(heard_, ElementsAre("a first.0", "a first.3", "a first.4"));
  EXPECT_THAT(notes_, ElementsAre("\"a\": gap: 1 to 2 are lost"));
}

TEST_F(EventTailTest, WithoutReplayShowsWhatComesAndSaysTheGap) {
  Listen(false);
  peer_.Publish("a", 7);
  peer_.Publish("a", 9);
  ASSERT_TRUE(Hears(2));
  EXPECT_THAT(heard_, ElementsAre("a first.7", "a first.9"));
  EXPECT_THAT(notes_, ElementsAre("\"a\": gap: 8 to 8 are lost"));
}

TEST_F(EventTailTest, SaysThatAPublisherBeganAnew) {
  Listen(true);
  peer_.Publish("a", 0);
  peer_.Publish("a", 1);
  ASSERT_TRUE(Hears(2));
  peer_.BeginAnew();
  peer_.Publish("a", 0);
  peer_.Publish("a", 1);
  ASSERT_TRUE(Hears(4));
  EXPECT_THAT(heard_, ElementsAre("a first.0", "a first.1", "a second.0", "a second.1"));
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("begun anew")));
}

TEST_F(EventTailTest, ShowsOnlyTopicsThatBeginAsAsked) {
  peer_.Publish("a", 0, false);
  peer_.Publish("b", 0, false);
  peer_.Publish("ab", 0, false);
  Listen(true, "a");
  ASSERT_TRUE(Hears(2));
  peer_.Publish("b", 1);
  peer_.Publish("a", 1);
  ASSERT_TRUE(Hears(3));
  // Each topic is asked for by itself.
  EXPECT_THAT(heard_, UnorderedElementsAre("a first.0", "ab first.0", "a first.1"));
}

TEST_F(EventTailTest, SaysThatNobodyAnswersForReplays) {
  auto deaf = std::move(*zmq_->Open(net::ZmqType::kRouter, {}));
  ASSERT_TRUE(deaf->Bind("tcp://127.0.0.1:0"));
  EventTail::Config config;
  config.endpoint = peer_.endpoint();
  config.replay_endpoint = deaf->endpoint();
  config.follow.idle = milliseconds(200);
  auto tail = EventTail::Create(loop_.get(), zmq_.get(), config,
                                {[](const indexer::FollowMessage&) {},
                                 [this](const std::string& text) { notes_.push_back(text); }});
  ASSERT_TRUE(tail);
  EXPECT_TRUE(Until([&] { return !notes_.empty(); }));
  EXPECT_THAT(notes_, ElementsAre(deaf->endpoint() + " does not answer"));
}

}  // namespace
}  // namespace headrace::cli
