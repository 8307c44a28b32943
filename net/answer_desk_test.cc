#include "net/answer_desk.h"

#include <gtest/gtest.h>

#include <map>

namespace headrace::net {
namespace {

using Progress = AnswerDesk::Progress;

// A ROUTER whose peers take as many messages as a test allows.
class FakeRouter final : public ZmqSocket {
 public:
  Status Bind(const std::string&) override { return {}; }
  Status Connect(const std::string&) override { return {}; }
  Status Disconnect(const std::string&) override { return {}; }
  std::string endpoint() const override { return ""; }
  Status Subscribe(std::string_view) override { return {}; }
  Status Send(std::span<const std::span<const uint8_t>> frames) override {
    std::vector<std::string> message;
    for (const auto& frame : frames) message.emplace_back(frame.begin(), frame.end());
    if (message[0] == "gone") return Fail(Errc::kNotFound, "gone");
    size_t& room = rooms.try_emplace(message[0], 1 << 20).first->second;
    if (room == 0) return Fail(Errc::kLimit, "full");
    --room;
    order += message[0];
    sent[message[0]].push_back({message.begin() + 1, message.end()});
    return {};
  }
  Result<bool> Receive(ZmqMessage*) override { return false; }
  int fd() const override { return -1; }
  bool readable() override { return false; }
  Status WatchPeers() override { return {}; }
  int peer_fd() const override { return -1; }
  bool peer_readable() override { return false; }
  bool NextPeerEvent(ZmqPeerEvent*) override { return false; }

  std::map<std::string, size_t> rooms;
  std::map<std::string, std::vector<std::vector<std::string>>> sent;  // without the peer
  std::string order;
};

struct Ends {
  int whole = 0, broken = 0;
};

// "0", "1", ... and a last one.
class Counting final : public Answers {
 public:
  Counting(int count, Ends* ends, const bool* known = nullptr)
      : count_(count), ends_(ends), known_(known) {}
  bool Next(Message* message) override {
    if (known_ != nullptr && !*known_) return false;
    text_ = std::to_string(at_);
    *message = {.topic = "t", .sequence = text_, .payload = "p", .last = at_ == count_};
    return true;
  }
  void Sent() override { ++at_; }
  void Ended(bool whole) override { ++(whole ? ends_->whole : ends_->broken); }

 private:
  const int count_;
  Ends* const ends_;
  const bool* const known_;
  int at_ = 0;
  std::string text_;
};

struct Fixture {
  void Ask(const std::string& peer, int count, const bool* known = nullptr) {
    desk.Add(peer, std::make_unique<Counting>(count, &ends, known), now);
  }
  Progress Run() {
    Progress progress = Progress::kMore;
    for (int i = 0; i < 1000 && progress == Progress::kMore; ++i) progress = desk.Advance(now);
    return progress;
  }

  Time now;
  Ends ends;
  FakeRouter router;
  AnswerDesk desk{&router, seconds(10)};
};

TEST(AnswerDesk, SendsAllAnswersAndTheLast) {
  Fixture f;
  f.Ask("p", 2);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  using Messages = std::vector<std::vector<std::string>>;
  EXPECT_EQ(f.router.sent["p"],
            (Messages{{"", "t", "0", "p"}, {"", "t", "1", "p"}, {"", "t", "2", "p"}}));
  EXPECT_EQ(f.ends.whole, 1);
  EXPECT_EQ(f.desk.waiting(), 0u);
}

TEST(AnswerDesk, GoesOnWhereAPeerBecameFull) {
  Fixture f;
  f.router.rooms["p"] = 3;
  f.Ask("p", 5);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.router.rooms["p"] = 10;
  EXPECT_EQ(f.Run(), Progress::kIdle);
  ASSERT_EQ(f.router.sent["p"].size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(f.router.sent["p"][i][2], std::to_string(i));
}

TEST(AnswerDesk, LetsNobodyWaitForASlowPeerOrALongAnswer) {
  Fixture f;
  f.router.rooms["s"] = 0;
  f.Ask("s", 3);
  f.Ask("l", 1000);
  f.Ask("q", 1);
  EXPECT_EQ(f.desk.Advance(f.now), Progress::kMore);
  EXPECT_EQ(f.router.sent["q"].size(), 2u);
  EXPECT_LT(f.router.sent["l"].size(), 1000u);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  EXPECT_EQ(f.router.sent["l"].size(), 1001u);
}

TEST(AnswerDesk, AnswersOnePeersRequestsInTheirOrder) {
  Fixture f;
  f.router.rooms["p"] = 1;
  f.Ask("p", 1);
  f.Ask("p", 3);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.router.rooms["p"] = 100;
  EXPECT_EQ(f.Run(), Progress::kIdle);
  std::string order;
  for (const auto& message : f.router.sent["p"]) order += message[2];
  EXPECT_EQ(order, "010123");
}

TEST(AnswerDesk, GivesUpAPeerThatTakesNothing) {
  Fixture f;
  f.router.rooms["p"] = 1;
  f.Ask("p", 3);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.now += seconds(10);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.now += Duration(1);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_EQ(f.ends.broken, 1);
  EXPECT_EQ(f.ends.whole, 0);
}

TEST(AnswerDesk, GivesUpAPeerThatIsGone) {
  Fixture f;
  f.Ask("gone", 3);
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_EQ(f.ends.broken, 1);
}

TEST(AnswerDesk, WaitsForWhatIsNotKnownYet) {
  Fixture f;
  bool known = false;
  f.Ask("p", 0, &known);
  f.now += seconds(100);
  EXPECT_EQ(f.Run(), Progress::kWaiting);
  f.router.rooms["p"] = 0;
  known = true;
  f.now += seconds(9);
  EXPECT_EQ(f.Run(), Progress::kWaiting);  // it was asked a moment ago only
  f.router.rooms["p"] = 1;
  EXPECT_EQ(f.Run(), Progress::kIdle);
  EXPECT_EQ(f.ends.whole, 1);
}

TEST(AnswerDesk, RefusesAtOnce) {
  Fixture f;
  f.desk.Refuse("p", {.sequence = "busy"});
  EXPECT_EQ(f.router.sent["p"].at(0), (std::vector<std::string>{"", "", "busy", ""}));
}

}  // namespace
}  // namespace headrace::net
