#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace headrace {
namespace {

class LogTest : public testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(SetLogLevel("info")); }

  template <typename F>
  static std::string Written(F write) {
    testing::internal::CaptureStderr();
    write();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, WritesTimeLevelAndText) {
  std::string text = Written([] { HR_WARN("pool is {} % full", 97); });
  EXPECT_THAT(text, testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[.][0-9]{3}"
                                          "[+-][0-9]{2}:[0-9]{2} warn  pool is 97 % full\n"));
}

TEST_F(LogTest, WritesNothingBelowTheLevel) {
  EXPECT_EQ(Written([] { HR_DEBUG("hidden"); }), "");
  ASSERT_TRUE(SetLogLevel("error"));
  EXPECT_EQ(Written([] { HR_WARN("hidden"); }), "");
  EXPECT_NE(Written([] { HR_ERROR("shown"); }), "");
  ASSERT_TRUE(SetLogLevel("off"));
  EXPECT_EQ(Written([] { HR_ERROR("hidden"); }), "");
  ASSERT_TRUE(SetLogLevel("debug"));
  EXPECT_NE(Written([] { HR_DEBUG("shown"); }), "");
}

TEST_F(LogTest, DoesNotEvaluateWhatIsNotWritten) {
  int evaluated = 0;
  HR_DEBUG("{}", ++evaluated);
  EXPECT_EQ(evaluated, 0);
}

TEST_F(LogTest, KeepsALineALine) {
  std::string name = "evil\n2026-01-01 error forged\x1b[31m";
  std::string text = Written([&] { HR_INFO("session {}", name); });
  EXPECT_NE(text.find("evil\\x0a2026-01-01 error forged\\x1b[31m"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST_F(LogTest, TakesBracesInTextAsText) {
  std::string name = "{}";
  EXPECT_NE(Written([&] { HR_INFO("name {}", name); }).find("name {}"), std::string::npos);
}

TEST_F(LogTest, RefusesAnUnknownLevelAndKeepsTheOld) {
  EXPECT_EQ(SetLogLevel("loud").error().code, Errc::kInvalid);
  EXPECT_EQ(Written([] { HR_DEBUG("hidden"); }), "");
}

}  // namespace
}  // namespace headrace
