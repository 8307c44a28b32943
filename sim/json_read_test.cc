#include "sim/json_read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

std::string Refusal(std::string_view text) {
  JsonDocument document;
  const auto value = document.Parse(text);
  EXPECT_FALSE(value) << text;
  if (value) return "";
  EXPECT_EQ(value.error().status, 400);
  return value.error().message;
}

TEST(JsonDocument, HoldsEveryKind) {
  JsonDocument document;
  const std::string text = R"( {"a":[1,-2,2.5,1e2],"b":{"c":null,"d":true},"e":"x","f":false} )";
  const auto root = document.Parse(text);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->count(), 4u);
  const JsonValue list = root->Member("a");
  ASSERT_TRUE(list && list.IsList());
  std::vector<double> numbers;
  for (const JsonValue item : list) numbers.push_back(*item.number());
  EXPECT_EQ(numbers, (std::vector<double>{1, -2, 2.5, 100}));
  EXPECT_EQ(list.raw(), "[1,-2,2.5,1e2]");
  const JsonValue inner = root->Member("b");
  EXPECT_TRUE(inner.Member("c").IsNull());
  EXPECT_FALSE(inner.Find("c"));
  EXPECT_TRUE(inner.Find("d").truth());
  EXPECT_EQ(root->Find("e").text(), "x");
  EXPECT_FALSE(root->Find("f").truth());
  EXPECT_FALSE(root->Find("d"));
}

TEST(JsonDocument, TellsWholeNumbersFromOthers) {
  JsonDocument document;
  const std::string text =
      "[9223372036854775807,-9223372036854775808,1180591620717411303424,2.0,2.5,1e-400,-0]";
  const auto root = document.Parse(text);
  ASSERT_TRUE(root);
  std::vector<std::optional<int64_t>> numbers;
  for (const JsonValue item : *root) numbers.push_back(item.integer());
  EXPECT_EQ(numbers, (std::vector<std::optional<int64_t>>{INT64_MAX, INT64_MIN, std::nullopt, 2,
                                                          std::nullopt, 0, 0}));
}

TEST(JsonDocument, UnescapesTexts) {
  JsonDocument document;
  const std::string text =
      R"(["a\"\\\/\b\f\n\r\tz","\u0041\u00e9\u20ac\ud83d\ude00","plain","\u0000"])";
  const auto root = document.Parse(text);
  ASSERT_TRUE(root);
  std::vector<std::string> texts;
  for (const JsonValue item : *root) texts.emplace_back(item.text());
  EXPECT_EQ(texts,
            (std::vector<std::string>{"a\"\\/\b\f\n\r\tz", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                                      "plain", std::string(1, '\0')}));
}

TEST(JsonDocument, TakesTheLastOfTwoMembersOfOneName) {
  JsonDocument document;
  const auto root = document.Parse(R"({"a":1,"b":2,"a":3})");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->Member("a").integer(), 3);
}

TEST(JsonDocument, IsUsedAgain) {
  JsonDocument document;
  const std::string long_text(100, 'x');
  std::string text = "[";
  for (int i = 0; i < 5; ++i) text += "\"\\n" + long_text + "\",";
  text.back() = ']';
  for (int i = 0; i < 50; ++i) {
    const auto root = document.Parse(text);
    ASSERT_TRUE(root);
    for (const JsonValue item : *root) EXPECT_EQ(item.text(), "\n" + long_text) << i;
  }
}

TEST(JsonDocument, RefusesWhatIsNotJson) {
  for (const std::string_view text : {"",
                                      " ",
                                      "{",
                                      "[",
                                      "[1,",
                                      "[1 2]",
                                      "[1,]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "01",
                                      "-",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "+1",
                                      "NaN",
                                      "Infinity",
                                      "tru",
                                      "nul",
                                      "[1] 2",
                                      "\"",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\n\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800x\"",
                                      "\"\\ud800\\n\"",
                                      "\"\\ud800\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\xff\"",
                                      "\"\xed\xa0\x80\"",
                                      "]",
                                      "}",
                                      ":",
                                      "1e400",
                                      "-1e400"}) {
    EXPECT_THAT(Refusal(text), testing::StartsWith("the body is not JSON: "));
  }
  EXPECT_EQ(Refusal("[1 2]"), "the body is not JSON: byte 3: a comma or a ] belongs here");
}

TEST(JsonDocument, RefusesWhatIsNestedTooDeep) {
  const auto nested = [](size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  JsonDocument document;
  EXPECT_TRUE(document.Parse(nested(JsonDocument::kMaxDepth + 1)));
  EXPECT_THAT(Refusal(nested(JsonDocument::kMaxDepth + 2)), testing::HasSubstr("too deep"));
  EXPECT_THAT(Refusal(std::string(1000000, '[')), testing::HasSubstr("too deep"));
}

TEST(JsonDocument, RefusesAnythingButAnObjectWhereOneIsNeeded) {
  JsonDocument document;
  const auto list = document.ParseObject("[]");
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().message, "the body must be a JSON object");
  EXPECT_TRUE(document.ParseObject("{}"));
}

}  // namespace
}  // namespace headrace::sim
