#include "sim/share_gpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::sim {

namespace {

using testing::ElementsAre;

struct Parsed {
  std::vector<std::string> conversations;  // "user:hello|assistant:hi"
  int skipped = 0;
  std::string message;
  bool good = false;
};

ConversationSink SinkOf(Parsed* parsed, size_t most) {
  const auto take = [parsed, most](const std::vector<ChatTurn>& turns) {
    std::string text;
    for (const ChatTurn& turn : turns) {
      if (!text.empty()) text += '|';
      text += turn.role + ':';
      text += turn.text;
    }
    parsed->conversations.push_back(text);
    return parsed->conversations.size() < most;
  };
  return {.take = take, .skip = [parsed] { ++parsed->skipped; }};
}

Parsed Parse(std::string_view json, size_t most = 100) {
  Parsed parsed;
  parsed.good = ParseShareGpt(json, SinkOf(&parsed, most), &parsed.message).has_value();
  return parsed;
}

TEST(ShareGpt, ReadsConversations) {
  const Parsed parsed = Parse(R"([
    {"id": "a", "conversations": [{"from": "human", "value": "hello"},
                                  {"from": "gpt", "value": "h\u00e9"}]},
    {"conversations": [{"value": "be good", "from": "system"},
                       {"role": "user", "content": "1"}, {"role": "assistant", "content": ""}],
     "tags": ["x", {"conversations": [{"from": "human", "value": "inner"}]}], "n": 5}])");
  EXPECT_TRUE(parsed.good) << parsed.message;
  EXPECT_THAT(parsed.conversations,
              ElementsAre("user:hello|assistant:h\u00e9", "system:be good|user:1|assistant:"));
  EXPECT_EQ(parsed.skipped, 0);
}

TEST(ShareGpt, PassesOverWhatIsNoConversation) {
  const char* const kOdd[] = {
      "5",
      "null",
      "\"text\"",
      "[]",
      "[[[{\"from\":\"human\",\"value\":\"x\"}]]]",
      "{}",
      R"({"conversations": []})",
      R"({"conversations": 5})",
      R"({"conversations": {"from": "human", "value": "x"}})",
      R"({"conversations": ["x"]})",
      R"({"conversations": [["x"]]})",
      R"({"conversations": [{"from": "human", "value": "x"}, ["x"]]})",
      R"({"conversations": [{"from": "human", "value": "x"}, "x"]})",
      R"({"conversations": [{"from": "human", "value": "x"}, 5]})",
      R"({"conversations": [{"from": "tool", "value": "x"}]})",
      R"({"conversations": [{"from": "human", "value": 5}]})",
      R"({"conversations": [{"from": "human"}]})",
      R"({"conversations": [{"value": "x"}]})",
      R"({"conversations": [{"from": "human", "value": ["x"]}]})",
      R"({"conversations": [{"from": "human", "value": "x"}],
          "conversations": [{"from": "human", "value": "y"}]})",
  };
  for (const char* const odd : kOdd) {
    std::string json = R"([{"conversations": [{"from": "human", "value": "before"}]},)";
    json += odd;
    json += R"(,{"conversations": [{"from": "human", "value": "after"}]}])";
    const Parsed parsed = Parse(json);
    EXPECT_TRUE(parsed.good) << odd;
    EXPECT_THAT(parsed.conversations, ElementsAre("user:before", "user:after")) << odd;
    EXPECT_EQ(parsed.skipped, 1) << odd;
  }
}

TEST(ShareGpt, PassesOverAConversationThatHasNoEnd) {
  std::string json = R"([{"conversations": [)";
  for (size_t i = 0; i < kMaxTurns; ++i) json += R"({"from": "human", "value": "x"},)";
  const std::string last = R"({"from": "human", "value": "x"}]}])";
  EXPECT_EQ(Parse(json + last).skipped, 1);
  json.pop_back();
  json += "]}]";
  EXPECT_EQ(Parse(json).conversations.size(), 1u);
}

TEST(ShareGpt, RefusesWhatIsNoList) {
  for (const char* const json : {"{}", "5", "\"x\"", "null", "{\"conversations\": []}"}) {
    const Parsed parsed = Parse(json);
    EXPECT_FALSE(parsed.good) << json;
    EXPECT_EQ(parsed.message, "must be a list of conversations") << json;
  }
}

TEST(ShareGpt, SaysWhereItIsNoJson) {
  const Parsed parsed = Parse("[5, }");
  EXPECT_FALSE(parsed.good);
  EXPECT_EQ(parsed.message, "is not JSON: byte 5 cannot stand there");
  EXPECT_FALSE(Parse("").good);
  EXPECT_FALSE(Parse("[\"\xff\"]").good);
  EXPECT_FALSE(Parse("[1e999]").good);
}

TEST(ShareGpt, EndsWhenNoMoreIsWanted) {
  const Parsed parsed = Parse(R"([{"conversations": [{"from": "human", "value": "x"}]}, } )", 1);
  EXPECT_TRUE(parsed.good);
  EXPECT_EQ(parsed.conversations.size(), 1u);
}

TEST(ShareGpt, TakesAnyDepth) {
  EXPECT_TRUE(Parse("[" + std::string(100'000, '[') + std::string(100'000, ']') + "]").good);
}

}  // namespace

}  // namespace headrace::sim
