#include "base/bytes.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/random.h"

namespace headrace {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(ParseSize, TakesEverySuffixInAnyCase) {
  const std::pair<const char*, uint64_t> kSizes[] = {
      {"0", 0},
      {"512", 512},
      {"512b", 512},
      {"512B", 512},
      {"64k", 64 << 10},
      {"64kb", 64 << 10},
      {"64KiB", 64 << 10},
      {"3m", 3 << 20},
      {"3MB", 3 << 20},
      {"3mib", 3 << 20},
      {"30g", 30 * kGiB},
      {"30gb", 30 * kGiB},
      {"30GiB", 30 * kGiB},
      {"2t", 2048 * kGiB},
      {"2Tb", 2048 * kGiB},
      {"2tib", 2048 * kGiB},
      {"0gb", 0},
      {"007kb", 7 << 10},
      {"18446744073709551615", UINT64_MAX},
      {"16777215tb", 16777215ULL << 40},
  };
  for (const auto& [text, bytes] : kSizes) {
    auto size = ParseSize(text);
    ASSERT_TRUE(size) << text;
    EXPECT_EQ(*size, bytes) << text;
  }
}

TEST(ParseSize, RefusesWhatIsNotASize) {
  for (const char* text : {"", "abc", "gb", "-1", "-1gb", "+1", "1.5gb", "1,5gb", " 1gb", "1gb ",
                           "1 gb", "1gbb", "1ki", "1ib", "1kib ", "1pb", "0x10", "1e9", "1bk"}) {
    auto size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, Errc::kInvalid) << text;
  }
}

TEST(ParseSize, RefusesOverflow) {
  for (const char* text : {"18446744073709551616", "99999999999999999999999", "16777216tb",
                           "18014398509481984kb", "17179869184gb"}) {
    EXPECT_FALSE(ParseSize(text)) << text;
  }
}

TEST(FormatSize, WritesOneDecimalWhereItSaysSomething) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(512), "512 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1024), "1 KiB");
  EXPECT_EQ(FormatSize(kGiB * 3 / 2), "1.5 GiB");
  EXPECT_EQ(FormatSize(kGiB - 1), "1 GiB");
  EXPECT_EQ(FormatSize(2048 * kGiB), "2 TiB");
  EXPECT_EQ(FormatSize(UINT64_MAX), "16 EiB");
}

TEST(SpellSize, IsReadBackExactly) {
  EXPECT_EQ(SpellSize(0), "0");
  EXPECT_EQ(SpellSize(30 * kGiB), "30gb");
  EXPECT_EQ(SpellSize(kGiB * 3 / 2), "1536mb");
  EXPECT_EQ(SpellSize(1000), "1000");
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    uint64_t bytes = random.Next() >> random.Below(64) << random.Below(20);
    auto back = ParseSize(SpellSize(bytes));
    ASSERT_TRUE(back) << bytes;
    EXPECT_EQ(*back, bytes);
  }
}

TEST(ParseDuration, TakesEveryUnit) {
  const std::pair<const char*, Duration> kDurations[] = {{"0", Duration(0)},
                                                         {"10ns", Duration(10)},
                                                         {"250us", microseconds(250)},
                                                         {"5ms", milliseconds(5)},
                                                         {"30s", seconds(30)},
                                                         {"2m", minutes(2)},
                                                         {"1h", hours(1)},
                                                         {"1H", hours(1)},
                                                         {"0s", Duration(0)},
                                                         {"2562047h", hours(2562047)}};
  for (const auto& [text, want] : kDurations) {
    auto duration = ParseDuration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(duration->count(), want.count()) << text;
  }
}

TEST(ParseDuration, RefusesWhatIsNotADuration) {
  for (const char* text : {"", "5", "ms", "-5ms", "+5ms", "1.5s", "5 ms", "5ms ", "5min", "5d",
                           "5sec", "2562048h", "9223372036854775808ns", "99999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(ParseGoDuration, TakesWhatGoWrites) {
  const std::pair<const char*, int64_t> kDurations[] = {{"0", 0},
                                                        {"0s", 0},
                                                        {"1.5s", 1'500'000'000},
                                                        {"200ms", 200'000'000},
                                                        {"1m30s", 90'000'000'000},
                                                        {"500us", 500'000},
                                                        {"500\u00b5s", 500'000},
                                                        {"500\u03bcs", 500'000},
                                                        {"250ns", 250},
                                                        {"1h0.25m", 3'615'000'000'000},
                                                        {".5ms", 500'000},
                                                        {"1.s", 1'000'000'000},
                                                        {"0.0000000019s", 1},
                                                        {"1.999ns", 1},
                                                        {"-5ms", -5'000'000},
                                                        {"+5ms", 5'000'000},
                                                        {"9223372036854775807ns", INT64_MAX}};
  for (const auto& [text, want] : kDurations) {
    auto duration = ParseGoDuration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(duration->count(), want) << text;
  }
}

TEST(ParseGoDuration, RefusesWhatIsNotADuration) {
  for (const char* text : {"",
                           "5",
                           "ms",
                           ".",
                           ".s",
                           "-",
                           "-.s",
                           "5 ms",
                           "5ms ",
                           "1m30",
                           "5min",
                           "1MS",
                           "5d",
                           "--5ms",
                           "1e3s",
                           "1..5s",
                           "2562048h",
                           "9223372036854775808ns",
                           "2562047h48m",
                           "99999999999999999999s"}) {
    EXPECT_FALSE(ParseGoDuration(text)) << text;
  }
}

TEST(SpellDuration, IsReadBackExactly) {
  EXPECT_EQ(SpellDuration(Duration(0)), "0");
  EXPECT_EQ(SpellDuration(seconds(90)), "90s");
  EXPECT_EQ(SpellDuration(minutes(120)), "2h");
  EXPECT_EQ(SpellDuration(microseconds(1500)), "1500us");
  EXPECT_EQ(SpellDuration(Duration::max()), "9223372036854775807ns");
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    Duration duration(static_cast<int64_t>(random.Next() >> (1 + random.Below(63))));
    auto back = ParseDuration(SpellDuration(duration));
    ASSERT_TRUE(back) << duration.count();
    EXPECT_EQ(back->count(), duration.count());
    EXPECT_EQ(ParseGoDuration(SpellDuration(duration)).value().count(), duration.count());
  }
}

TEST(ParseNumber, TakesDigitsOnly) {
  EXPECT_EQ(ParseNumber("0").value(), 0U);
  EXPECT_EQ(ParseNumber("18446744073709551615").value(), UINT64_MAX);
  for (const char* text : {"", "-1", "+1", "1 ", " 1", "1x", "0x1", "18446744073709551616"}) {
    EXPECT_FALSE(ParseNumber(text)) << text;
  }
}

}  // namespace
}  // namespace headrace
