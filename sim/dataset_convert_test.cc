#include "sim/dataset_convert.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sim/dataset_schema.h"
#include "sim/generator.h"
#include "sim/sqlite.h"
#include "text/regex_tokenizer.h"

namespace headrace::sim {

namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kTwo[] = R"([
    {"conversations": [{"from": "human", "value": "Why, h\u00e9?"},
                       {"from": "gpt", "value": "Because, you know."},
                       {"from": "human", "value": "More!"},
                       {"from": "gpt", "value": "No more."}]},
    {"conversations": [{"from": "alien", "value": "x"}]},
    {"conversations": [{"from": "system", "value": "Be brief."},
                       {"from": "human", "value": "Hi"},
                       {"from": "gpt", "value": ""},
                       {"from": "gpt", "value": "Hello"}]}])";

// Bytes, and a token 256 before each text that wants special ones.
class MarkingTokenizer final : public text::Tokenizer {
 public:
  Result<std::vector<uint32_t>> Encode(std::string_view text,
                                       text::Special special) const override {
    std::vector<uint32_t> ids;
    if (special == text::Special::kAdd) ids.push_back(256);
    ids.insert(ids.end(), text.begin(), text.end());
    return ids;
  }
  Result<text::Encoding> EncodeWithOffsets(std::string_view text,
                                           text::Special special) const override {
    return bytes_->EncodeWithOffsets(text, special);
  }
  Result<std::string> Decode(std::span<const uint32_t> ids, bool skip) const override {
    return bytes_->Decode(ids, skip);
  }
  const text::CutRules& cut_rules() const override { return bytes_->cut_rules(); }
  size_t vocab_size() const override { return 257; }

 private:
  std::unique_ptr<text::Tokenizer> bytes_ = text::MakeByteTokenizer();
};

class ConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "convert.XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    in_ = folder_ + "/in.json";
    out_ = folder_ + "/out.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<ConvertCounts> Convert(const std::string& json, ConvertOptions options = {}) {
    std::ofstream(in_) << json;
    if (options.tokenizer == nullptr) options.tokenizer = tokenizer_.get();
    message_.clear();
    return ConvertShareGpt(in_, out_, options, &message_);
  }

  std::string AnswerTo(const std::string& prompt, const std::string& table = "llmd") {
    const auto generator = OpenDataset({.max_model_len = 1000, .tokenizer = tokenizer_.get()},
                                       {.path = out_, .table = table}, &message_);
    if (!generator) return message_;
    const auto ids = tokenizer_->Encode(prompt, text::Special::kNone);
    const Prompt asked{.text = prompt};
    const Sampling sampling;
    return (*generator)->Make({&asked, &*ids, &sampling}).text;
  }

  size_t FilesThere() const {
    const auto files = std::filesystem::directory_iterator(folder_);
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  std::unique_ptr<text::Tokenizer> tokenizer_ = text::MakeRegexTokenizer();
  std::string folder_, in_, out_, message_;
};

TEST_F(ConvertTest, MakesARowOfEachAnswer) {
  const auto counts = Convert(kTwo);
  ASSERT_TRUE(counts) << message_;
  EXPECT_EQ(counts->conversations, 2u);
  EXPECT_EQ(counts->rows, 4u);
  EXPECT_EQ(counts->skipped, 1u);
  EXPECT_EQ(AnswerTo("### user: Why, h\u00e9?\n"), "Because, you know.");
  EXPECT_EQ(AnswerTo("### user: Why, h\u00e9?\n### assistant: Because, you know.\n"
                     "### user: More!\n"),
            "No more.");
  EXPECT_EQ(AnswerTo("### system: Be brief.\n### user: Hi\n### assistant: \n"), "Hello");
  EXPECT_EQ(FilesThere(), 2u) << "nothing but what went in and what came out";
}

TEST_F(ConvertTest, AnswersTheFirstMessageAsAText) {
  ASSERT_TRUE(Convert(kTwo)) << message_;
  EXPECT_EQ(AnswerTo("Why, h\u00e9?"), "Because, you know.");
}

TEST_F(ConvertTest, TakesTheChatsFormAndTheTable) {
  const auto form = [](std::span<const ChatTurn> turns) {
    return fmt::format("<{} {}>", turns.size(), turns.back().text);
  };
  ASSERT_TRUE(Convert(kTwo, {.table = "a \"b", .chat_text = form})) << message_;
  EXPECT_EQ(AnswerTo("<3 More!>", "a \"b"), "No more.");
}

TEST_F(ConvertTest, KeepsCharactersWholeThatTokensDivide) {
  const auto bytes = text::MakeByteTokenizer();
  ASSERT_TRUE(Convert(R"([{"conversations": [{"from": "human", "value": "x"},
                                             {"from": "gpt", "value": "\u4f60a"}]}])",
                      {.tokenizer = bytes.get()}))
      << message_;
  auto file = SqliteDatabase::OpenToRead(out_);
  auto select = file->Prepare("SELECT gen_tokens, n_gen_tokens FROM llmd");
  ASSERT_TRUE(*select->Step());
  EXPECT_EQ(select->Text(0),
            "{\"strings\":[\"\",\"\",\"\u4f60\",\"a\"],\"tokens\":[228,189,160,97]}");
  EXPECT_EQ(select->Integer(1), 4);
}

TEST_F(ConvertTest, AddsSpecialTokensToTextsOnly) {
  const MarkingTokenizer marking;
  ASSERT_TRUE(Convert(R"([{"conversations": [{"from": "human", "value": "x"},
                                             {"from": "gpt", "value": "y"}]}])",
                      {.tokenizer = &marking}))
      << message_;
  auto file = SqliteDatabase::OpenToRead(out_);
  auto select = file->Prepare("SELECT prompt_hash FROM llmd ORDER BY id");
  auto hasher = PromptHasher::Create();
  const auto hash = [&](std::string_view text, text::Special special) {
    const PromptKey key = hasher->Hash(*marking.Encode(text, special));
    return std::vector<uint8_t>(key.begin(), key.end());
  };
  ASSERT_TRUE(*select->Step());
  EXPECT_THAT(select->Blob(0),
              testing::ElementsAreArray(hash("### user: x\n", text::Special::kNone)));
  ASSERT_TRUE(*select->Step());
  EXPECT_THAT(select->Blob(0), testing::ElementsAreArray(hash("x", text::Special::kAdd)));
  EXPECT_FALSE(*select->Step());
}

TEST_F(ConvertTest, LeavesNoFileWhenItFails) {
  EXPECT_FALSE(Convert("[{\"conversations\": ["));
  EXPECT_THAT(message_, StartsWith(in_ + ": is not JSON: byte "));
  EXPECT_FALSE(Convert("{}"));
  EXPECT_EQ(message_, in_ + ": must be a list of conversations");
  EXPECT_FALSE(Convert("[]"));
  EXPECT_EQ(message_, in_ + ": has no conversation with an answer");
  EXPECT_EQ(FilesThere(), 1u);
}

TEST_F(ConvertTest, NeverOverwritesAFile) {
  std::ofstream(out_) << "precious";
  EXPECT_EQ(Convert(kTwo).error().code, Errc::kExists);
  EXPECT_THAT(message_, StartsWith(out_ + ": the file exists"));
  std::string kept;
  std::ifstream(out_) >> kept;
  EXPECT_EQ(kept, "precious");
}

TEST_F(ConvertTest, NamesTheFileThatIsMissing) {
  const ConvertOptions options{.tokenizer = tokenizer_.get()};
  EXPECT_FALSE(ConvertShareGpt(folder_ + "/none", out_, options, &message_));
  EXPECT_EQ(message_, folder_ + "/none: No such file or directory");
  out_ = folder_ + "/none/out.sqlite";
  EXPECT_FALSE(Convert(kTwo));
  EXPECT_THAT(message_, HasSubstr("cannot be made"));
}

}  // namespace

}  // namespace headrace::sim
