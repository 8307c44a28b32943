#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace headrace {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return Fail(Errc::kInvalid, "odd", 7);
  return number / 2;
}

Result<int> Quarter(int number) {
  HR_TRY(int half, Half(number));
  HR_TRY(auto quarter, Half(half));
  return quarter;
}

Status CheckEven(int number) {
  HR_RETURN_IF_ERROR(Half(number));
  return {};
}

Result<std::unique_ptr<int>> MakeOwned(bool fail) {
  if (fail) return Fail(Errc::kNoSpace, "none left");
  return std::make_unique<int>(3);
}

TEST(Result, CarriesTheValue) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_TRUE(CheckEven(2));
}

TEST(Result, CarriesTheFirstErrorUnchanged) {
  auto result = Quarter(6);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::kInvalid);
  EXPECT_EQ(result.error().os, 7);
  EXPECT_STREQ(result.error().what, "odd");
  EXPECT_EQ(CheckEven(3).error().os, 7);
}

TEST(Result, MovesWhatCannotBeCopied) {
  auto take = [](bool fail) -> Result<int> {
    HR_TRY(std::unique_ptr<int> owned, MakeOwned(fail));
    return *owned;
  };
  EXPECT_EQ(take(false).value(), 3);
  EXPECT_EQ(take(true).error().code, Errc::kNoSpace);
}

TEST(Errc, HasAnOwnNameForEachCode) {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(Errc::kInternal); ++code) {
    names.insert(ErrcName(static_cast<Errc>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Errc::kInternal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_STREQ(ErrcName(Errc::kOk), "ok");
  EXPECT_STREQ(ErrcName(Errc::kNoSpace), "no_space");
  EXPECT_STREQ(ErrcName(Errc::kCancelled), "cancelled");
  EXPECT_STREQ(ErrcName(Errc::kInternal), "internal");
  EXPECT_STREQ(ErrcName(static_cast<Errc>(200)), "unknown");
}

TEST(CheckDeathTest, NamesTheExpressionAndThePlace) {
  EXPECT_DEATH(HR_CHECK(1 + 1 == 3), "result_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace headrace
