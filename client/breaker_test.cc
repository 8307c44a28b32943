#include "client/breaker.h"

#include <gtest/gtest.h>

namespace headrace::client {
namespace {

constexpr Time kStart = Time(seconds(100));

TEST(Breaker, StartsClosedAndNeverProbesThen) {
  Breaker breaker(milliseconds(200), seconds(5));
  EXPECT_FALSE(breaker.open());
  EXPECT_FALSE(breaker.TakeProbe(kStart));
  EXPECT_EQ(breaker.probe_at(), Time::max());
}

TEST(Breaker, AllowsOneProbeAPauseAndDoublesThePause) {
  Breaker breaker(milliseconds(200), milliseconds(500));
  breaker.Trip(kStart);
  EXPECT_FALSE(breaker.TakeProbe(kStart + milliseconds(199)));
  EXPECT_TRUE(breaker.TakeProbe(kStart + milliseconds(200)));
  EXPECT_FALSE(breaker.TakeProbe(kStart + milliseconds(200)));
  EXPECT_EQ(breaker.probe_at(), kStart + milliseconds(600));
  EXPECT_TRUE(breaker.TakeProbe(kStart + milliseconds(600)));
  EXPECT_EQ(breaker.probe_at(), kStart + milliseconds(1100));  // 500, not 800
}

TEST(Breaker, CountsOneOpeningUntilAnAnswerClosesIt) {
  Breaker breaker(milliseconds(200), seconds(5));
  breaker.Trip(kStart);
  breaker.Trip(kStart + milliseconds(100));
  EXPECT_EQ(breaker.opens(), 1u);
  breaker.OnAnswer();
  EXPECT_FALSE(breaker.open());
  breaker.Trip(kStart + seconds(1));
  EXPECT_EQ(breaker.opens(), 2u);
  EXPECT_EQ(breaker.probe_at(), kStart + milliseconds(1200));
}

}  // namespace
}  // namespace headrace::client
