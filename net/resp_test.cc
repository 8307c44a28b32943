#include "net/resp.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace headrace::net {
namespace {

// The whole tree as text, so that two can be compared.
std::string Shown(const RespValue& value) {
  switch (value.kind()) {
    case RespKind::kNil:
      return "nil";
    case RespKind::kInteger:
      return fmt::format(":{}", value.integer());
    case RespKind::kArray: {
      std::string shown = "[";
      for (size_t i = 0; i < value.size(); ++i) {
        shown += Shown(value[i]);
        shown.push_back(',');
      }
      shown.push_back(']');
      return shown;
    }
    default:
      return fmt::format("{}{}", "?+-:$"[static_cast<size_t>(value.kind())], value.text());
  }
}

std::string Parsed(const std::string& bytes, uint32_t replies = 1) {
  RespParser parser(replies);
  auto complete = parser.Parse(bytes);
  if (!complete) return std::string("bad: ") + complete.error().what;
  if (!*complete) return "more";
  EXPECT_EQ(parser.size(), bytes.size());
  return Shown(parser.root(bytes));
}

TEST(RespWriter, WritesCommandsAsBulkStrings) {
  std::string out;
  RespWriter writer(&out);
  writer.Command({"SET", "k", std::string_view("\0\r\n", 3)});
  writer.Command(2);
  writer.Word("INCR");
  writer.Word(uint64_t{18446744073709551615u});
  EXPECT_EQ(out, std::string("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\0\r\n\r\n", 29) +
                     "*2\r\n$4\r\nINCR\r\n$20\r\n18446744073709551615\r\n");
}

TEST(RespParser, ReadsEveryKind) {
  EXPECT_EQ(Parsed("+OK\r\n"), "[+OK,]");
  EXPECT_EQ(Parsed("-ERR no\r\n"), "[-ERR no,]");
  EXPECT_EQ(Parsed(":-42\r\n"), "[:-42,]");
  EXPECT_EQ(Parsed("$5\r\na\r\nbc\r\n"), "[$a\r\nbc,]");
  EXPECT_EQ(Parsed("$0\r\n\r\n"), "[$,]");
  EXPECT_EQ(Parsed("$-1\r\n"), "[nil,]");
  EXPECT_EQ(Parsed("*-1\r\n"), "[nil,]");
  EXPECT_EQ(Parsed("*0\r\n"), "[[],]");
  EXPECT_EQ(Parsed("*2\r\n*1\r\n:1\r\n$1\r\nx\r\n"), "[[[:1,],$x,],]");
}

TEST(RespParser, ReadsSeveralRepliesAsOne) {
  EXPECT_EQ(Parsed("+a\r\n*0\r\n:3\r\n", 3), "[+a,[],:3,]");
  EXPECT_EQ(Parsed("+a\r\n*0\r\n", 3), "more");
}

TEST(RespParser, LeavesWhatFollows) {
  const std::string bytes = "+a\r\n+b\r\n";
  RespParser parser(1);
  EXPECT_TRUE(*parser.Parse(bytes));
  EXPECT_EQ(parser.size(), 4u);
}

TEST(RespParser, RefusesWhatIsNoReply) {
  for (const char* bytes :
       {"\r\n", "?x\r\n", "%1\r\n", ":\r\n", ":1x\r\n", "$-2\r\n", "$x\r\n", "*-2\r\n",
        "$3\r\nabcdef\r\n", "*99999999999\r\n", "$99999999999\r\n"}) {
    EXPECT_TRUE(Parsed(bytes).starts_with("bad: ")) << bytes;
  }
  EXPECT_EQ(Parsed("+" + std::string(RespParser::kMaxLine, 'x')),
            "bad: a line of a reply is too long");
  std::string deep;
  for (size_t i = 0; i <= RespParser::kMaxDepth; ++i) deep += "*1\r\n";
  EXPECT_EQ(Parsed(deep + ":1\r\n"), "bad: arrays of a reply are too deep");
}

TEST(RespParser, GivesTheSameInPiecesOfAnySize) {
  const std::string bytes = "*3\r\n*2\r\n$4\r\nab\r\n\r\n:12\r\n$-1\r\n*0\r\n-ERR x\r\n:7\r\n";
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    RespParser parser(3);
    size_t have = 0;
    while (true) {
      auto complete = parser.Parse(std::string_view(bytes).substr(0, have));
      ASSERT_TRUE(complete.has_value());
      if (*complete) break;
      ASSERT_LT(have, bytes.size());
      have = std::min(bytes.size(), have + 1 + random.Below(5));
    }
    EXPECT_EQ(Shown(parser.root(bytes)), "[[[$ab\r\n,:12,],nil,[],],-ERR x,:7,]");
  }
}

TEST(RespValue, WalksByFirstAndNext) {
  const std::string bytes = "*3\r\n*2\r\n:1\r\n:2\r\n:3\r\n:4\r\n";
  RespParser parser(1);
  ASSERT_TRUE(*parser.Parse(bytes));
  RespValue value = parser.root(bytes).first().first();
  EXPECT_EQ(value.size(), 2u);
  value = value.next();
  EXPECT_EQ(value.integer(), 3);
  EXPECT_EQ(value.next().integer(), 4);
}

TEST(RespCopy, OutlivesItsBytes) {
  std::string bytes = "*2\r\n$3\r\nabc\r\n-no\r\n";
  RespParser parser(1);
  ASSERT_TRUE(*parser.Parse(bytes));
  const RespCopy copy(parser.root(bytes));
  bytes.assign(bytes.size(), '!');
  parser.Reset(1);
  EXPECT_EQ(Shown(copy.root()), "[[$abc,-no,],]");
}

}  // namespace
}  // namespace headrace::net
