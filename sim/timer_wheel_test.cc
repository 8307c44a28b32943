#include "sim/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <vector>

#include "base/random.h"

namespace headrace::sim {

namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

constexpr Time kStart{1000s};

std::vector<uint64_t> Expired(TimerWheel* wheel, Time now) {
  std::vector<uint64_t> expired;
  wheel->Expire(now, [&](uint64_t what, Time) { expired.push_back(what); });
  return expired;
}

TEST(TimerWheel, ExpiresNothingBeforeItsTime) {
  TimerWheel wheel(kStart);
  wheel.Add(kStart + 20ms, 1);
  EXPECT_THAT(Expired(&wheel, kStart + 20ms - 1ns), ElementsAre());
  EXPECT_EQ(wheel.Next(), kStart + 20ms);
  EXPECT_THAT(Expired(&wheel, kStart + 20ms), ElementsAre(1));
  EXPECT_EQ(wheel.Next(), std::nullopt);
  EXPECT_EQ(wheel.size(), 0u);
}

TEST(TimerWheel, KeepsTheOrderOfTimesAndThenOfAdding) {
  TimerWheel wheel(kStart);
  wheel.Add(kStart + 3s, 1);
  wheel.Add(kStart + 2ns, 2);
  wheel.Add(kStart + 3s, 3);
  wheel.Add(kStart + 1ns, 4);
  EXPECT_THAT(Expired(&wheel, kStart + 2s), ElementsAre(4, 2));
  wheel.Add(kStart + 3s, 5);
  EXPECT_THAT(Expired(&wheel, kStart + 4s), ElementsAre(1, 3, 5));
}

TEST(TimerWheel, PutsWhatIsOverdueFirst) {
  TimerWheel wheel(kStart);
  Expired(&wheel, kStart + 5s);
  wheel.Add(kStart + 6s, 1);
  wheel.Add(kStart + 4s, 2);
  wheel.Add(kStart + 3s, 3);
  wheel.Add(kStart + 4s, 4);
  EXPECT_EQ(wheel.Next(), kStart + 3s);
  EXPECT_THAT(Expired(&wheel, kStart + 6s), ElementsAre(3, 2, 4, 1));
}

TEST(TimerWheel, TellsTheEarliestThatIsLeftAfterACancel) {
  TimerWheel wheel(kStart);
  const auto first = wheel.Add(kStart + 1001ms, 1);
  wheel.Add(kStart + 1003ms, 2);
  wheel.Add(kStart + 1002ms, 3);
  EXPECT_TRUE(wheel.Cancel(first));
  EXPECT_EQ(wheel.Next(), kStart + 1002ms);
  wheel.Add(kStart + 1004ms, 4);
  EXPECT_EQ(wheel.Next(), kStart + 1002ms);
}

TEST(TimerWheel, CancelsOnlyWhatIsThere) {
  TimerWheel wheel(kStart);
  const auto timer = wheel.Add(kStart + 1s, 1);
  EXPECT_TRUE(wheel.Cancel(timer));
  EXPECT_FALSE(wheel.Cancel(timer));
  const auto reused = wheel.Add(kStart + 1s, 2);
  EXPECT_NE(reused, timer);
  EXPECT_FALSE(wheel.Cancel(timer)) << "an old id never cancels what took its place";
  EXPECT_FALSE(wheel.Cancel(0));
  EXPECT_THAT(Expired(&wheel, kStart + 1s), ElementsAre(2));
  EXPECT_FALSE(wheel.Cancel(reused));
}

TEST(TimerWheel, TakesTimesOfTheWholeClock) {
  TimerWheel wheel(kStart);
  wheel.Add(Time::max(), 1);
  wheel.Add(Time::min(), 2);
  wheel.Add(Time{-5ns}, 3);
  EXPECT_EQ(wheel.Next(), Time::min());
  EXPECT_THAT(Expired(&wheel, kStart), ElementsAre(2, 3));
  EXPECT_EQ(wheel.Next(), Time::max());
  EXPECT_THAT(Expired(&wheel, Time::max() - 1ns), ElementsAre());
  EXPECT_THAT(Expired(&wheel, Time::max()), ElementsAre(1));
}

TEST(TimerWheel, NeverGoesBack) {
  TimerWheel wheel(kStart);
  Expired(&wheel, kStart + 5s);
  wheel.Add(kStart + 3s, 1);
  wheel.Add(kStart + 5s, 2);
  EXPECT_THAT(Expired(&wheel, kStart + 2s), ElementsAre());
  EXPECT_THAT(Expired(&wheel, kStart + 4s), ElementsAre(1));
  EXPECT_THAT(Expired(&wheel, kStart + 5s), ElementsAre(2));
}

TEST(TimerWheel, ExpiresWhatIsAddedMeanwhileInItsOrder) {
  TimerWheel wheel(kStart);
  wheel.Add(kStart + 10ms, 0);
  wheel.Add(kStart + 35ms, 100);
  std::vector<uint64_t> order;
  wheel.Expire(kStart + 50ms, [&](uint64_t what, Time when) {
    order.push_back(what);
    if (what < 100) wheel.Add(when + 10ms, what + 1);
  });
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 100, 3, 4));
  EXPECT_EQ(wheel.Next(), kStart + 60ms);
}

// A wheel and the same entries in a multimap, whose every answer is compared.
class History {
 public:
  // How often the history came by what is seldom.
  struct Reached {
    uint64_t overdue = 0, far = 0, ties = 0, expired = 0, cancelled = 0, cancelled_earliest = 0;
    uint64_t cancelled_gone = 0, added_within = 0, added_within_due = 0, cancelled_within = 0;
    uint64_t cancelled_due_within = 0, clock_back = 0, exact_wakes = 0, empty = 0;
  };

  explicit History(uint64_t seed) : random_(seed) {}

  void Step() {
    const uint64_t kind = random_.Below(16);
    if (kind < 7) {
      Add(SomeTime());
    } else if (kind < 10) {
      Cancel(&reached_.cancelled);
    } else {
      Advance(kind);
    }
    ASSERT_EQ(wheel_.size(), model_.size());
    if (model_.empty()) ++reached_.empty;
    const auto next = wheel_.Next();
    ASSERT_EQ(next.has_value(), !model_.empty());
    if (next) {
      ASSERT_EQ(*next, model_.begin()->first);
    }
  }
  const Reached& reached() const { return reached_; }

 private:
  struct Known {
    TimerWheel::TimerId id;
    uint64_t what;
  };
  using Model = std::multimap<Time, Known>;

  Duration SomeDuration() {
    return Duration(static_cast<int64_t>(random_.Next() >> random_.Between(24, 62)));
  }

  Time SomeTime() {
    const uint64_t kind = random_.Below(20);
    if (kind == 0) {
      ++reached_.far;
      return now_ + Duration(static_cast<int64_t>(random_.Next() >> random_.Between(4, 14)));
    }
    if (kind < 4) return now_ - SomeDuration();
    if (kind < 8 && !model_.empty()) return std::next(model_.begin(), SomeIndex())->first;
    return now_ + SomeDuration();
  }

  std::ptrdiff_t SomeIndex() {
    return static_cast<std::ptrdiff_t>(random_.Below(std::min<size_t>(model_.size(), 8)));
  }

  void Add(Time when) {
    if (when < now_) ++reached_.overdue;
    if (model_.contains(when)) ++reached_.ties;
    const uint64_t what = ++added_;
    const auto id = wheel_.Add(when, what);
    ASSERT_NE(id, 0u);
    model_.emplace(when, Known{id, what});
  }

  void Cancel(uint64_t* counter) {
    if (!gone_.empty() && random_.Chance(1, 4)) {
      ++reached_.cancelled_gone;
      ASSERT_FALSE(wheel_.Cancel(gone_[random_.Below(gone_.size())]));
      return;
    }
    if (model_.empty()) return;
    const auto entry = std::next(model_.begin(), SomeIndex());
    if (entry == model_.begin()) ++reached_.cancelled_earliest;
    if (entry->first <= expiring_) ++reached_.cancelled_due_within;
    ++*counter;
    ASSERT_TRUE(wheel_.Cancel(entry->second.id));
    gone_.push_back(entry->second.id);
    model_.erase(entry);
  }

  void Advance(uint64_t kind) {
    Time until = now_ + SomeDuration();
    if (kind == 10) {
      ++reached_.clock_back;
      until = now_ - SomeDuration();
    } else if (kind < 13 && !model_.empty() && model_.begin()->first < now_ + 1h) {
      ++reached_.exact_wakes;
      until = model_.begin()->first;
    }
    expiring_ = until;
    uint64_t added_meanwhile = 0;
    wheel_.Expire(until, [&](uint64_t what, Time when) {
      ASSERT_FALSE(model_.empty());
      const auto first = model_.begin();
      ASSERT_EQ(when, first->first);
      ASSERT_EQ(what, first->second.what);
      ASSERT_LE(when, until);
      ++reached_.expired;
      gone_.push_back(first->second.id);
      model_.erase(first);
      if (added_meanwhile < 20 && random_.Chance(1, 3)) Meanwhile(until, &added_meanwhile);
    });
    ASSERT_TRUE(model_.empty() || model_.begin()->first > until);
    expiring_ = Time::min();
    now_ = std::max(now_, until);
    if (gone_.size() > 1000) gone_.erase(gone_.begin(), gone_.begin() + 500);
  }

  void Meanwhile(Time until, uint64_t* added) {
    if (random_.Chance(1, 2)) return Cancel(&reached_.cancelled_within);
    const Time when = SomeTime();
    ++*added;
    ++reached_.added_within;
    if (when <= until) ++reached_.added_within_due;
    Add(when);
  }

  Random random_;
  TimerWheel wheel_{kStart};
  Model model_;
  Time now_ = kStart;
  Time expiring_ = Time::min();
  std::vector<TimerWheel::TimerId> gone_;
  uint64_t added_ = 0;
  Reached reached_;
};

TEST(TimerWheel, DoesWhatAMultimapDoes) {
  History history(20);
  for (int step = 0; step < 100'000; ++step) {
    history.Step();
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << step;
  }
  const History::Reached& reached = history.reached();
  const std::pair<const char*, uint64_t> counts[] = {
      {"overdue", reached.overdue},
      {"far", reached.far},
      {"ties", reached.ties},
      {"expired", reached.expired},
      {"cancelled", reached.cancelled},
      {"cancelled_earliest", reached.cancelled_earliest},
      {"cancelled_gone", reached.cancelled_gone},
      {"added_within", reached.added_within},
      {"added_within_due", reached.added_within_due},
      {"cancelled_within", reached.cancelled_within},
      {"cancelled_due_within", reached.cancelled_due_within},
      {"clock_back", reached.clock_back},
      {"exact_wakes", reached.exact_wakes},
      {"empty", reached.empty},
  };
  for (const auto& [name, count] : counts) {
    EXPECT_GE(count, 100u) << name;
    RecordProperty(name, std::to_string(count));
  }
}

}  // namespace

}  // namespace headrace::sim
