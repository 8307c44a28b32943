// The Rust library against ids that Python's tokenizers package gave (tests/text/make_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "text/files.h"
#include "text/tokenizer.h"

namespace headrace::text {

namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

Json ReadJson(const std::string& name) {
  std::string why;
  const auto content = ReadFile(std::string(HEADRACE_TEXT_DATA) + "/" + name, 16u << 20, &why);
  EXPECT_TRUE(content) << why;
  return Json::parse(content ? *content : "{}");
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

std::unique_ptr<Tokenizer> MustLoad() {
  std::string why;
  auto loaded = LoadTokenizer(HEADRACE_TEXT_DATA, &why);
  EXPECT_TRUE(loaded) << why;
  return loaded ? std::move(*loaded) : nullptr;
}

CutRules RulesOf(const Json& definition) {
  std::string why;
  const auto parsed = ParseTokenizer(definition.dump(), &why);
  EXPECT_TRUE(parsed) << why;
  return parsed ? (*parsed)->cut_rules() : CutRules{};
}

TEST(HfTokenizer, GivesTheIdsThatPythonGives) {
  const auto tokenizer = MustLoad();
  const Json goldens = ReadJson("tokens.json").at("texts");
  ASSERT_GE(goldens.size(), 30u);
  for (const auto& [name, want] : goldens.items()) {
    const std::string text = FromHex(want.at("hex"));
    EXPECT_EQ(Json(*tokenizer->Encode(text, Special::kNone)), want.at("ids")) << name;
    EXPECT_EQ(Json(*tokenizer->Encode(text, Special::kAdd)), want.at("special_ids")) << name;
  }
}

TEST(HfTokenizer, GivesTheOffsetsThatPythonGivesInBytes) {
  const auto tokenizer = MustLoad();
  const Json goldens = ReadJson("tokens.json").at("texts");
  for (const auto& [name, want] : goldens.items()) {
    const auto made = tokenizer->EncodeWithOffsets(FromHex(want.at("hex")), Special::kNone);
    ASSERT_TRUE(made);
    EXPECT_EQ(Json(made->ids), want.at("ids")) << name;
    Json offsets = Json::array();
    for (const ByteSpan& span : made->offsets) offsets.push_back({span.begin, span.end});
    EXPECT_EQ(offsets, want.at("offsets")) << name;
  }
}

TEST(HfTokenizer, DecodesAsPythonDoes) {
  const auto tokenizer = MustLoad();
  const Json goldens = ReadJson("tokens.json").at("texts");
  for (const auto& [name, want] : goldens.items()) {
    const auto text = tokenizer->Decode(want.at("ids").get<std::vector<uint32_t>>(), false);
    EXPECT_EQ(*text, want.at("decoded").get<std::string>()) << name;
  }
}

TEST(HfTokenizer, FindsSpecialTokensInTheTextAndAddsThoseAroundIt) {
  const auto tokenizer = MustLoad();
  const auto written = tokenizer->Encode("<|begin|>", Special::kNone);
  ASSERT_EQ(written->size(), 1u);
  const auto added = tokenizer->Encode("", Special::kAdd);
  EXPECT_EQ(*added, *written);
  EXPECT_EQ(tokenizer->cut_rules().head, *written);
  EXPECT_TRUE(tokenizer->cut_rules().tail.empty());
}

TEST(HfTokenizer, RefusesWhatIsNoTokenizerAndSaysWhy) {
  for (const char* json : {"", "{", "[]", "{\"model\":{\"type\":\"None\"}}", "\xff"}) {
    std::string why;
    const auto parsed = ParseTokenizer(json, &why);
    EXPECT_EQ(parsed.error().code, Errc::kInvalid) << json;
    EXPECT_THAT(why, HasSubstr("tokenizer.json: "));
  }
}

TEST(HfTokenizer, LeavesOutTruncationAndPadding) {
  Json definition = ReadJson("tokenizer.json");
  definition["truncation"] = {
      {"direction", "Right"}, {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
  definition["padding"] = {{"strategy", {{"Fixed", 64}}},
                           {"direction", "Right"},
                           {"pad_to_multiple_of", nullptr},
                           {"pad_id", 0},
                           {"pad_type_id", 0},
                           {"pad_token", "!"}};
  std::string why;
  const auto parsed = ParseTokenizer(definition.dump(), &why);
  ASSERT_TRUE(parsed) << why;
  const std::string text = "the words of this text are more than two";
  EXPECT_EQ(*(*parsed)->Encode(text, Special::kAdd), *MustLoad()->Encode(text, Special::kAdd));
}

TEST(HfTokenizer, ServesManyThreads) {
  const auto tokenizer = MustLoad();
  const std::string text = "def f(x):\n    return [str(i) for i in range(x)]  # 日本 😀\n";
  const auto want = *tokenizer->Encode(text, Special::kAdd);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        HR_CHECK(*tokenizer->Encode(text, Special::kAdd) == want);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(CutRules, AreProvedForByteLevelSplits) {
  const CutRules rules = MustLoad()->cut_rules();
  EXPECT_TRUE(rules.in_text && rules.affixes_known);
  EXPECT_THAT(rules.anchors,
              ElementsAre("<|begin|>", "<|header|>", "<|end_header|>", "<|turn_end|>", "<|pad|>"));
}

// Each row changes the tokenizer so that a cut between a letter and a space is no longer safe.
TEST(CutRules, AreNoneInTextWhereOnePremiseFails) {
  const struct {
    const char* pointer;
    Json value;
  } cases[] = {
      {"/pre_tokenizer", nullptr},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"(\p{L}+ ?|\s+|.)"},         // crosses
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"( ?\p{L}{2,}|\s+|\p{N})"},  // gaps
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"( ?\p{L}*|\s+)"},           // empty
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"(\p{L}+(?= a)|\s+|.)"},     // looks ahead
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"((?!\S)\p{L}+|\s+|\p{N})"},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"((?<= )\p{L}+|\s+|.)"},  // looks behind
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"([a-z]?+[a-z]|\s+|.)"},  // possessive
      {"/pre_tokenizer/pretokenizers/0/behavior", "MergedWithNext"},
      {"/normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "_"}}},
      {"/normalizer", {{"type", "Lowercase"}}},
      {"/added_tokens/0/content", "a b"},
      {"/added_tokens/0/rstrip", true},
      {"/added_tokens/0/single_word", true},
      {"/model/dropout", 0.1},
  };
  for (const auto& one : cases) {
    Json definition = ReadJson("tokenizer.json");
    definition[Json::json_pointer(one.pointer)] = one.value;
    EXPECT_FALSE(RulesOf(definition).in_text) << one.pointer << " " << one.value;
  }
}

TEST(CutRules, StayWhereAChangeDoesNoHarm) {
  const struct {
    const char* pointer;
    Json value;
  } cases[] = {
      {"/pre_tokenizer",
       {{"type", "ByteLevel"},
        {"add_prefix_space", false},
        {"trim_offsets", true},
        {"use_regex", true}}},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"([?*+]++|[a-zA-Z]|\s+(?!\S)|\s+|.)"},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"([^?*+,a-z ]+|[a-zA-Z]+|\s+)"},
      {"/pre_tokenizer/pretokenizers/0/behavior", "Removed"},
      {"/normalizer", {{"type", "NFC"}}},
      {"/normalizer", {{"type", "Sequence"}, {"normalizers", Json::array()}}},
  };
  size_t safe = 0;
  for (const auto& one : cases) {
    Json definition = ReadJson("tokenizer.json");
    definition[Json::json_pointer(one.pointer)] = one.value;
    safe += RulesOf(definition).in_text ? 1 : 0;
  }
  EXPECT_EQ(safe, std::size(cases) - 1);  // the pattern with a possessive repetition
}

TEST(CutRules, LeaveOutAnchorsThatAnotherTokenHolds) {
  Json definition = ReadJson("tokenizer.json");
  definition["added_tokens"][4]["content"] = "x<|turn_end|>y";
  definition["added_tokens"][1]["lstrip"] = true;
  definition["added_tokens"][2]["normalized"] = true;
  EXPECT_THAT(RulesOf(definition).anchors, ElementsAre("<|begin|>", "x<|turn_end|>y"));
}

}  // namespace

}  // namespace headrace::text
