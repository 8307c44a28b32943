#include "server/event_desk.h"

#include <gtest/gtest.h>

#include <map>

#include "server/event_samples.h"

namespace headrace::server {
namespace {

constexpr const char* kTopic = "kv@n@m";
using Progress = EventDesk::Progress;

// A ROUTER whose peers take as many messages as a test allows.
class FakeRouter final : public net::ZmqSocket {
 public:
  Status Bind(const std::string&) override { return {}; }
  Status Connect(const std::string&) override { return {}; }
  Status Disconnect(const std::string&) override { return {}; }
  std::string endpoint() const override { return ""; }
  Status Subscribe(std::string_view) override { return {}; }
  Status Send(std::span<const std::span<const uint8_t>> frames) override {
    std::vector<std::string> message;
    for (const auto& frame : frames) message.emplace_back(frame.begin(), frame.end());
    if (gone == message[0]) return Fail(Errc::kNotFound, "gone");
    size_t& room = rooms.try_emplace(message[0], 1 << 20).first->second;
    if (room == 0) return Fail(Errc::kLimit, "full");
    --room;
    sent[message[0]].push_back({message.begin() + 1, message.end()});
    return {};
  }
  Result<bool> Receive(net::ZmqMessage* message) override {
    message->Clear();
    if (requests.empty()) return false;
    for (const std::string& frame : requests.front()) message->Add(net::ZmqBytes(frame));
    requests.erase(requests.begin());
    return true;
  }
  int fd() const override { return -1; }
  bool readable() override { return !requests.empty(); }
  Status WatchPeers() override { return {}; }
  int peer_fd() const override { return -1; }
  bool peer_readable() override { return false; }
  bool NextPeerEvent(net::ZmqPeerEvent*) override { return false; }

  std::vector<std::vector<std::string>> requests;
  std::map<std::string, size_t> rooms;
  std::map<std::string, std::vector<std::vector<std::string>>> sent;  // without the peer
  std::string gone = "-";
};

struct Fixture {
  explicit Fixture(EventLimits the_limits = {})
      : limits(the_limits),
        stream({.node = "n",
                .form = {},
                .limits = limits,
                .max_topics = 8,
                .seed = 1,
                .send = [](const std::string&, uint64_t, const std::string&) {}}),
        desk(&router, &stream, limits) {
    stream.Take(TopicEvent(0, "m"), 1.0);
  }
  void Messages(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      stream.Take(StoredEvent(++stored, 0, 0), 1.0);
      stream.Flush(1.0);
    }
  }
  void Ask(const std::string& peer, std::vector<std::string> frames) {
    frames.insert(frames.begin(), {peer, ""});
    router.requests.push_back(std::move(frames));
    desk.Receive(now);
  }
  void Replay(const std::string& peer, uint64_t start) { Ask(peer, {wire::EncodeSequence(start)}); }
  Progress Run() {
    Progress progress = Progress::kMore;
    for (int i = 0; i < 1000 && progress == Progress::kMore; ++i) {
      progress = desk.Advance(now, 1.0);
    }
    return progress;
  }

  EventLimits limits;
  Time now;
  uint64_t stored = 0;
  FakeRouter router;
  EventStream stream;
  EventDesk desk;
};

TEST(EventDesk, ReplaysFromASequenceOn) {
  Fixture f;
  f.Messages(5);
  f.Replay("p", 3);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  const auto& sent = f.router.sent["p"];
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0], (std::vector<std::string>{"", kTopic, wire::EncodeSequence(3),
                                               *f.stream.Kept(kTopic, 3)->payload}));
  EXPECT_EQ(sent[1][2], wire::EncodeSequence(4));
  EXPECT_EQ(sent[2], (std::vector<std::string>{"", "", std::string(8, '\xff'), ""}));
  EXPECT_EQ(f.desk.counts().replays, 1u);
}

TEST(EventDesk, ReplaysWhatWasOutWhenAsked) {
  Fixture f;
  f.Messages(3);
  f.router.rooms["p"] = 2;
  f.Replay("p", 0);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.Messages(4);
  f.router.rooms["p"] = 100;
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_EQ(f.router.sent["p"].size(), 4u);  // 3 and the end
}

TEST(EventDesk, OfAnUnknownTopicReplaysNothing) {
  Fixture f;
  f.Messages(2);
  f.Ask("p", {wire::EncodeSequence(0), "kv@n@other"});
  f.Run();
  EXPECT_EQ(f.router.sent["p"].size(), 1u);
}

TEST(EventDesk, GivesASnapshotThatNamesItsSequence) {
  Fixture f({.batch_blocks = 2});
  f.Messages(5);
  f.Ask("p", {"snapshot", kTopic});
  f.router.rooms["p"] = 1;
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.Messages(2);  // not in the snapshot that has begun
  f.router.rooms["p"] = 100;
  EXPECT_EQ(f.Run(), Progress::kIdle);
  const auto& sent = f.router.sent["p"];
  ASSERT_EQ(sent.size(), 4u);
  EventReader reader;
  for (size_t i = 0; i + 1 < sent.size(); ++i) reader.Read(sent[i][3]);
  EXPECT_EQ(reader.blocks.size(), 5u);
  for (const auto& frames : sent) {
    EXPECT_EQ(frames[1], kTopic);
    EXPECT_EQ(frames[2], wire::EncodeSequence(4));
  }
  EXPECT_EQ(sent.back()[3], "");
}

TEST(EventDesk, KeepsSnapshotsWaitingUntilTheTruthIsKnown) {
  Fixture f;
  f.Messages(2);
  f.stream.Take(Marker(QueuedEvent::Kind::kLost), 1.0);
  f.Ask("p", {"snapshot", kTopic});
  f.now += seconds(100);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.stream.Take(StoredEvent(1, 0, 0, QueuedEvent::Kind::kResident), 1.0);
  f.stream.Take(Marker(QueuedEvent::Kind::kWhole), 1.0);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EventReader reader;
  reader.Read(f.router.sent["p"][0][3]);
  EXPECT_EQ(reader.blocks, std::set<uint64_t>{1});
}

TEST(EventDesk, AnswersAPeersRequestsInTheirOrder) {
  Fixture f;
  f.Messages(200);  // more than one turn
  f.Replay("p", 0);
  f.Ask("p", {"snapshot", kTopic});
  f.Replay("p", 199);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  const auto& sent = f.router.sent["p"];
  ASSERT_EQ(sent.size(), 201u + 2u + 2u);
  EXPECT_EQ(sent[200][3], "");
  EXPECT_EQ(sent[202], (std::vector<std::string>{"", kTopic, wire::EncodeSequence(199), ""}));
}

TEST(EventDesk, LetsASlowPeerHoldUpNobody) {
  Fixture f;
  f.Messages(10);
  f.router.rooms["slow"] = 3;
  f.Replay("slow", 0);
  f.Replay("quick", 0);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  EXPECT_EQ(f.router.sent["quick"].size(), 11u);
}

TEST(EventDesk, GivesUpAPeerThatTakesNothing) {
  Fixture f;
  f.Messages(10);
  f.router.rooms["p"] = 3;
  f.Replay("p", 0);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.now += f.limits.answer_timeout;
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.now += milliseconds(1);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_EQ(f.desk.counts().abandoned, 1u);
  EXPECT_EQ(f.desk.counts().replays, 0u);
}

TEST(EventDesk, GivesUpAPeerThatIsGone) {
  Fixture f;
  f.Messages(1);
  f.router.gone = "p";
  f.Replay("p", 0);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_EQ(f.desk.counts().abandoned, 1u);
}

TEST(EventDesk, RefusesWhenTooManyWait) {
  Fixture f({.requests = 2});
  f.Messages(1);
  for (int i = 0; i < 3; ++i) f.Replay("p", 0);
  ASSERT_EQ(f.router.sent["p"].size(), 1u);
  EXPECT_EQ(f.router.sent["p"][0], (std::vector<std::string>{"", "", "busy", ""}));
  EXPECT_EQ(f.desk.counts().refused, 1u);
}

TEST(EventDesk, CountsWhatIsNoRequest) {
  Fixture f;
  f.Ask("p", {"1234567"});
  f.Ask("p", {"snapshot"});
  EXPECT_EQ(f.desk.counts().malformed, 2u);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_TRUE(f.router.sent.empty());
}

}  // namespace
}  // namespace headrace::server
