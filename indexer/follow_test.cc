#include "indexer/follow.h"

#include <gtest/gtest.h>

#include <string>

namespace headrace::indexer {
namespace {

// A follower with what it does as text: "apply:3", "replay:2", "snapshot", "new", "?", "ok".
class Follow {
 public:
  explicit Follow(FollowOffers offers, const FollowLimits& limits = {})
      : follower(limits, offers) {}

  std::string Text() {
    std::string text;
    for (const FollowAction& action : actions_.list()) {
      if (!text.empty()) text += ' ';
      text += TextOf(action);
      if (action.ticket != 0) ticket = action.ticket;
    }
    actions_.Clear();
    return text;
  }
  std::string Connected() {
    follower.OnConnected(now, &actions_);
    return Text();
  }
  std::string Live(uint64_t sequence, const std::string& life = "x") {
    const std::string payload = life + std::to_string(sequence);
    follower.OnLive({sequence, "t", payload}, now, &actions_);
    return Text();
  }
  std::string Replay(uint64_t sequence, const std::string& life = "x") {
    const std::string payload = life + std::to_string(sequence);
    follower.OnReplay(ticket, {sequence, "t", payload}, now, &actions_);
    return Text();
  }
  std::string ReplayEnd() {
    follower.OnReplayEnd(ticket, now, &actions_);
    return Text();
  }
  std::string Snapshot() {
    follower.OnSnapshot(ticket, {0, "t", "all"}, now, &actions_);
    return Text();
  }
  std::string SnapshotEnd(uint64_t next) {
    follower.OnSnapshotEnd(ticket, next, now, &actions_);
    return Text();
  }
  std::string Failed() {
    follower.OnFailed(ticket, now, &actions_);
    return Text();
  }
  std::string Cleared() {
    follower.OnCleared(&actions_);
    return Text();
  }
  std::string After(Duration time) {
    now += time;
    follower.OnTick(now, &actions_);
    return Text();
  }
  // Has applied 0 to `last`, all well.
  void Reach(uint64_t last) {
    Connected();
    for (uint64_t i = 0; i <= last; ++i) Replay(i);
    ReplayEnd();
    ASSERT_EQ(follower.state(), StreamFollower::State::kLive);
    ASSERT_FALSE(follower.uncertain());
    ASSERT_EQ(follower.next(), last + 1);
  }

  StreamFollower follower;
  Time now = Time(seconds(1000));
  uint32_t ticket = 0;

 private:
  static std::string TextOf(const FollowAction& action) {
    switch (action.kind) {
      case FollowAction::Kind::kApply:
        return "apply:" + std::string(action.message.payload);
      case FollowAction::Kind::kNewEpoch:
        return "new";
      case FollowAction::Kind::kAskReplay:
        return "replay:" + std::to_string(action.from);
      case FollowAction::Kind::kAskSnapshot:
        return "snapshot";
      case FollowAction::Kind::kMarkUncertain:
        return "?";
      case FollowAction::Kind::kMarkCertain:
        return "ok";
    }
    return "";
  }
  FollowActions actions_;
};

constexpr FollowOffers kReplay{true, false};
constexpr FollowOffers kBoth{true, true};
constexpr FollowOffers kSnapshot{false, true};
constexpr FollowOffers kNone{false, false};

TEST(StreamFollower, ReplaysAllWhenItFirstConnects) {
  Follow f(kReplay);
  EXPECT_EQ(f.Connected(), "? replay:0");
  EXPECT_EQ(f.Live(2), "");
  EXPECT_EQ(f.Replay(0), "apply:x0");
  EXPECT_EQ(f.Replay(1), "apply:x1");
  EXPECT_EQ(f.ReplayEnd(), "apply:x2 ok");
  EXPECT_EQ(f.Live(3), "apply:x3");
  EXPECT_EQ(f.follower.counters().applied, 4u);
}

TEST(StreamFollower, DropsDuplicates) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Live(5), "");
  EXPECT_EQ(f.Live(2), "");
  EXPECT_EQ(f.follower.counters().duplicates, 2u);
  EXPECT_EQ(f.follower.counters().restarts, 0u);
}

TEST(StreamFollower, FillsAGapByAReplayThatBeginsWithTheLastMessage) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Live(8), "? replay:5");
  EXPECT_EQ(f.Live(9), "");
  EXPECT_EQ(f.Replay(5), "");
  EXPECT_EQ(f.Replay(6), "apply:x6");
  EXPECT_EQ(f.Replay(7), "apply:x7");
  EXPECT_EQ(f.Replay(8), "apply:x8");
  EXPECT_EQ(f.ReplayEnd(), "apply:x9 ok");
  EXPECT_EQ(f.follower.counters().gaps, 1u);
  EXPECT_EQ(f.follower.held(), 0u);
}

TEST(StreamFollower, TakesALateMessageOutOfItsOrder) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Live(7), "? replay:5");
  EXPECT_EQ(f.Live(6), "");
  EXPECT_EQ(f.Live(7), "");
  EXPECT_EQ(f.Replay(5), "");
  EXPECT_EQ(f.ReplayEnd(), "apply:x6 apply:x7 ok");
}

TEST(StreamFollower, BeginsAnEpochWhenThePublisherStartsOver) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Live(0, "y"), "new apply:y0");
  EXPECT_EQ(f.Live(1, "y"), "apply:y1");
  EXPECT_EQ(f.Live(2, "z"), "apply:z2");
  // Also when its first message is another one.
  EXPECT_EQ(f.Live(1, "w"), "new ? replay:0");
  EXPECT_EQ(f.Replay(0, "w"), "apply:w0");
  EXPECT_EQ(f.ReplayEnd(), "apply:w1 ok");
  EXPECT_EQ(f.follower.counters().restarts, 2u);
}

TEST(StreamFollower, SeesARestartThatWasSleptThrough) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Live(50, "y"), "? replay:5");
  EXPECT_EQ(f.Replay(5, "y"), "new replay:0");  // of 5 it has other bytes
  EXPECT_EQ(f.Replay(0, "y"), "apply:y0");
  EXPECT_EQ(f.follower.counters().restarts, 1u);
}

TEST(StreamFollower, SeesARestartOfAPublisherThatHasNotComeAsFar) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Connected(), "? replay:5");
  EXPECT_EQ(f.ReplayEnd(), "new replay:0");
  EXPECT_EQ(f.Replay(0, "y"), "apply:y0");
  EXPECT_EQ(f.ReplayEnd(), "ok");
}

TEST(StreamFollower, AsksAgainWhenAReplayHasAHole) {
  Follow f(kReplay);
  f.Reach(5);
  f.Live(9);
  f.Replay(5);
  EXPECT_EQ(f.Replay(6), "apply:x6");
  EXPECT_EQ(f.Replay(8), "replay:6");
  EXPECT_EQ(f.Replay(6), "");
  EXPECT_EQ(f.Replay(7), "apply:x7");
  EXPECT_EQ(f.Replay(8), "apply:x8");
  EXPECT_EQ(f.ReplayEnd(), "apply:x9 ok");
}

TEST(StreamFollower, AsksAgainWhenAReplayEndsTooEarly) {
  Follow f(kReplay);
  f.Reach(5);
  f.Live(9);
  f.Replay(5);
  f.Replay(6);
  EXPECT_EQ(f.ReplayEnd(), "replay:6");
}

TEST(StreamFollower, IgnoresAnswersToOlderQuestions) {
  Follow f(kReplay);
  f.Reach(5);
  f.Live(8);
  const uint32_t old = f.ticket;
  f.Connected();
  std::swap(f.ticket, const_cast<uint32_t&>(old));
  EXPECT_EQ(f.Replay(5), "");
  EXPECT_EQ(f.Replay(6), "");
  EXPECT_EQ(f.ReplayEnd(), "");
  EXPECT_EQ(f.Failed(), "");
  EXPECT_EQ(f.follower.state(), StreamFollower::State::kReplay);
  EXPECT_EQ(f.follower.next(), 6u);
}

TEST(StreamFollower, CoolsDownAfterThreeAttemptsThatBroughtNothing) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.Live(8), "? replay:5");
  EXPECT_EQ(f.After(milliseconds(1999)), "");
  EXPECT_EQ(f.After(milliseconds(1)), "replay:5");
  EXPECT_EQ(f.After(seconds(2)), "replay:5");
  EXPECT_EQ(f.After(seconds(2)), "");
  EXPECT_EQ(f.follower.state(), StreamFollower::State::kCooling);
  EXPECT_TRUE(f.follower.uncertain());
  EXPECT_EQ(f.Live(9), "");
  EXPECT_EQ(f.After(seconds(29)), "");
  EXPECT_EQ(f.After(seconds(1)), "replay:5");
  f.Replay(5);
  f.Replay(6);
  f.Replay(7);
  EXPECT_EQ(f.ReplayEnd(), "apply:x8 apply:x9 ok");
}

TEST(StreamFollower, LivesWithAGapWhenNobodyFillsItForLong) {
  Follow f(kReplay, {.attempts = 1, .rounds = 2});
  f.Reach(5);
  f.Live(8);
  EXPECT_EQ(f.Failed(), "");
  EXPECT_EQ(f.After(seconds(30)), "replay:5");
  EXPECT_EQ(f.Failed(), "apply:x8");
  EXPECT_TRUE(f.follower.uncertain());
  EXPECT_EQ(f.follower.counters().lost, 2u);
  EXPECT_EQ(f.Live(9), "apply:x9");
  EXPECT_EQ(f.Live(11), "apply:x11");  // a further gap soon after: not asked again
  EXPECT_EQ(f.Cleared(), "ok");
}

TEST(StreamFollower, EndsAReplayThatNeverEnds) {
  Follow f(kReplay, {.total = seconds(3), .attempts = 1});
  f.Reach(5);
  f.Live(1000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(f.follower.state(), StreamFollower::State::kReplay);
    f.After(seconds(1));
    f.Replay(5 + i);
  }
  EXPECT_EQ(f.follower.state(), StreamFollower::State::kCooling);
}

TEST(StreamFollower, TakesASnapshotWhenAReplayReachesNotBackFarEnough) {
  Follow f(kBoth);
  f.Reach(5);
  EXPECT_EQ(f.Live(90), "? replay:5");
  EXPECT_EQ(f.Replay(50), "snapshot");
  EXPECT_EQ(f.Live(91), "");
  EXPECT_EQ(f.Live(92), "");
  EXPECT_EQ(f.Snapshot(), "new apply:all");
  EXPECT_EQ(f.Snapshot(), "apply:all");
  EXPECT_EQ(f.SnapshotEnd(92), "apply:x92 ok");
  EXPECT_EQ(f.Live(93), "apply:x93");
}

TEST(StreamFollower, TakesASnapshotWhenReplaysFail) {
  Follow f(kBoth, {.attempts = 2});
  EXPECT_EQ(f.Connected(), "? replay:0");
  EXPECT_EQ(f.Failed(), "replay:0");
  EXPECT_EQ(f.Failed(), "snapshot");
  f.Snapshot();
  EXPECT_EQ(f.Failed(), "");
  EXPECT_EQ(f.follower.counters().snapshot_failures, 1u);
  EXPECT_EQ(f.After(seconds(30)), "snapshot");
}

TEST(StreamFollower, MakesDoWithReplayWhenThePeerKnowsNoSnapshots) {
  Follow f(kBoth);
  EXPECT_EQ(f.Connected(), "? replay:0");
  EXPECT_EQ(f.Replay(40), "snapshot");
  EXPECT_EQ(f.After(seconds(2)), "replay:0");
  EXPECT_EQ(f.Replay(40), "apply:x40");
  EXPECT_EQ(f.ReplayEnd(), "");
  EXPECT_TRUE(f.follower.uncertain());
  EXPECT_EQ(f.follower.counters().lost, 40u);
  EXPECT_EQ(f.After(seconds(2)), "");
  EXPECT_EQ(f.After(seconds(298)), "snapshot");  // it may be another one by now
}

TEST(StreamFollower, GivesAQuestionThatWaitsItsTime) {
  Follow f(kReplay);
  f.Connected();
  for (int i = 0; i < 10; ++i) {
    f.follower.OnWaiting(f.ticket, f.now);
    EXPECT_EQ(f.After(seconds(1)), "");
  }
  EXPECT_EQ(f.After(seconds(1)), "replay:0");
}

TEST(StreamFollower, TakesAnEmptySnapshot) {
  Follow f(kSnapshot);
  EXPECT_EQ(f.Connected(), "? snapshot");
  EXPECT_EQ(f.SnapshotEnd(0), "new ok");
  EXPECT_EQ(f.Live(0), "apply:x0");
}

TEST(StreamFollower, RepairsAGapBehindASnapshot) {
  Follow f(kBoth);
  f.Reach(5);
  f.Live(90);
  f.Replay(50);
  f.Live(95);
  f.Snapshot();
  EXPECT_EQ(f.SnapshotEnd(93), "replay:93");
  EXPECT_EQ(f.Replay(93), "apply:x93");
  EXPECT_EQ(f.Replay(94), "apply:x94");
  EXPECT_EQ(f.ReplayEnd(), "apply:x95 ok");
}

TEST(StreamFollower, StaysUncertainWhileAHalfSnapshotIsAllItHas) {
  Follow f(kSnapshot);
  f.Connected();
  f.Snapshot();
  EXPECT_EQ(f.After(seconds(2)), "");
  EXPECT_TRUE(f.follower.uncertain());
  EXPECT_EQ(f.After(seconds(30)), "snapshot");
  EXPECT_EQ(f.Snapshot(), "new apply:all");
  EXPECT_EQ(f.SnapshotEnd(4), "ok");
}

TEST(StreamFollower, GoesOnWithoutAnyOfferAndSaysSo) {
  Follow f(kNone);
  EXPECT_EQ(f.Connected(), "");
  EXPECT_EQ(f.Live(0), "apply:x0");
  EXPECT_EQ(f.Live(3), "? apply:x3");
  EXPECT_EQ(f.Live(4), "apply:x4");
  EXPECT_EQ(f.follower.counters().lost, 2u);
  EXPECT_EQ(f.Live(0, "y"), "new apply:y0 ok");
}

TEST(StreamFollower, IsUncertainWhenItStartsInTheMiddle) {
  Follow f(kNone);
  EXPECT_EQ(f.Live(7), "? apply:x7");
}

TEST(StreamFollower, ProbesOnceAfterASilence) {
  Follow f(kReplay);
  f.Reach(5);
  EXPECT_EQ(f.After(seconds(4)), "");
  EXPECT_EQ(f.After(seconds(1)), "replay:5");
  EXPECT_FALSE(f.follower.uncertain());
  f.Replay(5);
  EXPECT_EQ(f.Replay(6), "apply:x6");  // it was lost, and nothing came after it
  EXPECT_EQ(f.ReplayEnd(), "");
  EXPECT_EQ(f.After(seconds(60)), "");
  EXPECT_EQ(f.Live(7), "apply:x7");
  EXPECT_EQ(f.After(seconds(5)), "replay:7");
  EXPECT_EQ(f.Failed(), "");  // no harm
  EXPECT_EQ(f.follower.state(), StreamFollower::State::kLive);
  EXPECT_EQ(f.follower.counters().probes, 2u);
}

TEST(StreamFollower, BoundsWhatItHolds) {
  Follow f(kReplay, {.held_messages = 2});
  f.Reach(5);
  for (uint64_t i = 7; i <= 12; ++i) f.Live(i);
  EXPECT_EQ(f.follower.held(), 2u);
  EXPECT_EQ(f.follower.counters().held_dropped, 4u);
  f.Replay(5);
  f.Replay(6);
  EXPECT_EQ(f.ReplayEnd(), "apply:x7 apply:x8 replay:8");
  f.Replay(8);
  for (uint64_t i = 9; i <= 12; ++i) f.Replay(i);
  EXPECT_EQ(f.ReplayEnd(), "ok");
}

}  // namespace
}  // namespace headrace::indexer
