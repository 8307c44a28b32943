#include "text/utf8.h"

#include <gtest/gtest.h>

namespace headrace::text {

namespace {

constexpr const char* kMark = "\xef\xbf\xbd";

std::string Marks(size_t count) {
  std::string out;
  for (size_t done = 0; done < count; ++done) out += kMark;
  return out;
}

TEST(Utf8, KeepsWhatIsWellFormed) {
  for (const char* text :
       {"", "plain ascii, longer than a word", "Straße 日本 😀", "\x7f", "\xc2\x80", "\xdf\xbf",
        "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
    EXPECT_EQ(ToUtf8(text), text);
  }
}

// The counts are those of Python's bytes.decode(errors="replace").
TEST(Utf8, ReplacesEachLongestBrokenRun) {
  const struct {
    const char* bytes;
    size_t marks;
  } cases[] = {{"\x80", 1},         {"\xbf\xbf", 2},         {"\xc0\xaf", 2},
               {"\xc3", 1},         {"\xe4\xb8", 1},         {"\xf0\x9f\x98", 1},
               {"\xe0\x80\xaf", 3}, {"\xf0\x80\x80\xaf", 4}, {"\xed\xa0\x80", 3},
               {"\xf5\x80", 2},     {"\xf4\x90\x80\x80", 4}, {"\xff\xfe", 2}};
  for (const auto& one : cases) {
    EXPECT_FALSE(IsUtf8(one.bytes));
    EXPECT_EQ(ToUtf8(one.bytes), Marks(one.marks));
  }
}

TEST(Utf8, GoesOnBehindWhatIsBroken) {
  EXPECT_EQ(ToUtf8("a\xe4\xb8z"), std::string("a") + kMark + "z");
  EXPECT_EQ(ToUtf8("12345678\xe6\x97\xe8\xaa\x9e"), std::string("12345678") + kMark + "語");
  EXPECT_EQ(ToUtf8(std::string_view("\0\xc3", 2)), std::string("\0", 1) + kMark);
}

}  // namespace

}  // namespace headrace::text
