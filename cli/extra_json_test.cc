#include "cli/extra_json.h"

#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

using Blocks = std::vector<wire::ExtraKeys>;

Blocks List(std::string_view json) {
  std::string message;
  const auto extra = ParseExtra(json, &message);
  EXPECT_TRUE(extra.has_value()) << message;
  return extra ? std::get<Blocks>(*extra) : Blocks();
}

wire::PromptExtras Object(std::string_view json) {
  std::string message;
  const auto extra = ParseExtra(json, &message);
  EXPECT_TRUE(extra.has_value()) << message;
  return extra ? std::get<wire::PromptExtras>(*extra) : wire::PromptExtras();
}

std::string WhyNot(std::string_view json) {
  std::string message;
  EXPECT_FALSE(ParseExtra(json, &message).has_value()) << json;
  return message;
}

wire::KeyAtom Text(std::string_view text) {
  return std::string(text);
}

TEST(ParseExtra, TakesKeysAsTheyAre) {
  const Blocks blocks = List(R"([[["mm", "id", -3], ["a"]], null])");
  ASSERT_EQ(blocks.size(), 2u);
  ASSERT_EQ(blocks[0].size(), 2u);
  EXPECT_EQ(blocks[0][0].atoms, (std::vector<wire::KeyAtom>{Text("mm"), Text("id"), int64_t{-3}}));
  EXPECT_FALSE(blocks[0][0].bare);
  EXPECT_EQ(blocks[0][1].atoms, std::vector<wire::KeyAtom>{Text("a")});
  EXPECT_TRUE(blocks[1].empty());
}

TEST(ParseExtra, TakesBareKeys) {
  const Blocks blocks = List(R"([["adapter", 7, {"bytes": "0aff"}]])");
  ASSERT_EQ(blocks.at(0).size(), 3u);
  for (const wire::ExtraKey& key : blocks[0]) EXPECT_TRUE(key.bare);
  EXPECT_EQ(blocks[0][0].atoms.at(0), Text("adapter"));
  EXPECT_EQ(blocks[0][1].atoms.at(0), wire::KeyAtom(int64_t{7}));
  EXPECT_EQ(blocks[0][2].atoms.at(0), wire::KeyAtom(std::vector<uint8_t>{0x0a, 0xff}));
}

TEST(ParseExtra, TurnsTheDigestOfEmbeddingsIntoBytes) {
  const Blocks blocks = List(R"([[["prompt_embeds", "0aff"], ["prompt_embeds"]]])");
  EXPECT_EQ(blocks.at(0).at(0).atoms,
            (std::vector<wire::KeyAtom>{Text("prompt_embeds"), std::vector<uint8_t>{0x0a, 0xff}}));
  EXPECT_EQ(blocks[0].at(1).atoms, std::vector<wire::KeyAtom>{Text("prompt_embeds")});
}

TEST(ParseExtra, TellsAnEmptyListFromNone) {
  const Blocks blocks = List("[null, []]");
  EXPECT_TRUE(blocks.at(0).empty());
  ASSERT_EQ(blocks.at(1).size(), 1u);
  EXPECT_TRUE(blocks[1][0].bare && blocks[1][0].atoms.empty());
}

TEST(ParseExtra, TakesTheLargestNumbersAndNoLarger) {
  EXPECT_EQ(List("[[9223372036854775807, -9223372036854775808]]").at(0).size(), 2u);
  WhyNot("[[9223372036854775808]]");
}

TEST(ParseExtra, TakesAnObject) {
  const auto extras =
      Object(R"({"lora": ["n", "p"], "mm": [["id", 5, 30]], "salt": "s", "embeds": ["0a", "ff"]})");
  ASSERT_TRUE(extras.lora);
  EXPECT_EQ(extras.lora->name, "n");
  EXPECT_EQ(extras.lora->path, "p");
  ASSERT_EQ(extras.mm.size(), 1u);
  EXPECT_EQ(extras.mm[0].id, "id");
  EXPECT_EQ(extras.mm[0].offset, 5u);
  EXPECT_EQ(extras.mm[0].length, 30u);
  EXPECT_EQ(extras.salt, "s");
  EXPECT_EQ(extras.embeds, (std::vector<std::vector<uint8_t>>{{0x0a}, {0xff}}));
  EXPECT_FALSE(Object("{}").lora);
}

TEST(ParseExtra, SaysWhatWouldBeRight) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "one entry a block"},
      {"7", "one entry a block"},
      {"[[", "one entry a block"},
      {R"(["a"])", "null or a list"},
      {"[[1.5]]", "texts, integers"},
      {"[[true]]", "texts, integers"},
      {R"([[["a", ["b"]]]])", "texts, integers"},
      {R"([[["prompt_embeds", "xy"]]])", "hexadecimal"},
      {R"([[{"bytes": 1}]])", "hexadecimal"},
      {R"({"lora": "n"})", "[name, path]"},
      {R"({"mm": [["id", 5]]})", "[id, offset, length]"},
      {R"({"mm": [["id", -1, 2]]})", "[id, offset, length]"},
      {R"({"mm": 3})", "[id, offset, length]"},
      {R"({"salt": 3})", "a text"},
      {R"({"embeds": "0a"})", "one a block"},
      {R"({"embeds": [1]})", "hexadecimal"},
      {R"({"slat": "s"})", "none of lora, mm, salt, embeds"},
  };
  for (const auto& [json, part] : wrong) {
    EXPECT_NE(WhyNot(json).find(part), std::string::npos) << json << ": " << WhyNot(json);
  }
}

TEST(ParseExtra, RefusesWhatNestsTooDeep) {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_NE(WhyNot(deep).find("one entry a block"), std::string::npos);
}

TEST(ParseExtra, ShortensWhatItShows) {
  EXPECT_LT(WhyNot("[[[[" + std::string(10000, '1') + "]]]]").size(), 200u);
  EXPECT_LT(WhyNot(R"({"salt": [")" + std::string(10000, 'x') + R"("]})").size(), 200u);
}

}  // namespace
}  // namespace headrace::cli
