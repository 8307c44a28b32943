#include "cli/command_line.h"

#include <gtest/gtest.h>

#include <vector>

namespace headrace::cli {
namespace {

constexpr Flag kFlags[] = {{"name", "TEXT", "first line\nsecond line"}, {"size", "N", "a number"}};

struct Outcome {
  bool ok = false;
  CommandLine line;
  std::string message;
};

Outcome Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "command");
  Outcome outcome;
  outcome.ok = ParseCommandLine(static_cast<int>(words.size()), words.data(), kFlags, &outcome.line,
                                &outcome.message)
                   .has_value();
  return outcome;
}

TEST(CommandLine, TakesBothSpellingsAndTheLastOfARepeatedFlag) {
  const Outcome outcome = Parse({"--name", "a", "--size=3", "--name=b=c"});
  ASSERT_TRUE(outcome.ok);
  EXPECT_EQ(*outcome.line.Find("name"), "b=c");
  EXPECT_EQ(*outcome.line.Find("size"), "3");
  EXPECT_FALSE(outcome.line.help);
}

TEST(CommandLine, TellsAnEmptyValueFromNone) {
  const Outcome outcome = Parse({"--name", ""});
  ASSERT_TRUE(outcome.ok);
  EXPECT_EQ(*outcome.line.Find("name"), "");
  EXPECT_EQ(outcome.line.Find("size"), nullptr);
}

TEST(CommandLine, TakesAValueThatLooksLikeAFlag) {
  EXPECT_EQ(*Parse({"--name", "--size"}).line.Find("name"), "--size");
}

TEST(CommandLine, SeesHelpAnywhere) {
  EXPECT_TRUE(Parse({"--size", "1", "-h"}).line.help);
  EXPECT_TRUE(Parse({"--help"}).line.help);
}

TEST(CommandLine, NamesWhatItCannotRead) {
  EXPECT_EQ(Parse({"--nam", "a"}).message, "no flag \"nam\"; see --help");
  EXPECT_EQ(Parse({"--size", "1", "--name"}).message, "--name: needs a value");
  EXPECT_EQ(Parse({"1,2"}).message, "\"1,2\" belongs to no flag; see --help");
  EXPECT_FALSE(Parse({"--"}).ok);
}

TEST(CommandLine, AlignsHelp) {
  EXPECT_EQ(FlagHelp(kFlags),
            "  --name TEXT  first line\n"
            "               second line\n"
            "  --size N     a number\n");
}

TEST(CommandLine, QuotesAUsersTextOnOneShortLine) {
  EXPECT_EQ(Quoted("a\nb\x7f"), "\"a?b?\"");
  EXPECT_EQ(Quoted(std::string(61, 'x')), "\"" + std::string(60, 'x') + "...\"");
}

TEST(ParseNumber, TakesWholeDecimalNumbersInRange) {
  uint64_t number = 0;
  EXPECT_TRUE(ParseNumber("16", 16, &number));
  EXPECT_EQ(number, 16u);
  for (const char* text : {"", "17", "-1", "+1", "1 ", " 1", "1x", "0x1", "18446744073709551616"}) {
    EXPECT_FALSE(ParseNumber(text, 16, &number)) << text;
  }
}

TEST(ParseHex, TakesPairsOfDigits) {
  std::string bytes;
  EXPECT_TRUE(ParseHex("0x0aFf", &bytes));
  EXPECT_EQ(bytes, "\x0a\xff");
  EXPECT_TRUE(ParseHex("", &bytes));
  for (const char* text : {"0", "0g", "g0", "0x0", " 00", "x000"}) {
    EXPECT_FALSE(ParseHex(text, &bytes)) << text;
  }
}

}  // namespace
}  // namespace headrace::cli
