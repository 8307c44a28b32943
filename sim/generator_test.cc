#include "sim/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "sim/output_text.h"
#include "text/regex_tokenizer.h"

namespace headrace::sim {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class GeneratorTest : public testing::Test {
 protected:
  GeneratorOptions Options(uint64_t seed = 1) const {
    return {.seed = seed, .max_model_len = 1000, .tokenizer = tokenizer_.get()};
  }

  Output Make(Generator* generator, const Sampling& sampling = {}) {
    Output output = generator->Make({&prompt_, &prompt_ids_, &sampling});
    Check(output);
    return output;
  }
  Output Echo(const std::string& echo, const Sampling& sampling = {}) {
    prompt_.echo = echo;
    return Make(MakeEchoGenerator(Options()).get(), sampling);
  }

  // What every output keeps to, and that its ids are those of its text.
  void Check(const Output& output) {
    ASSERT_EQ(output.ids.size(), output.ends.size());
    ASSERT_TRUE(std::is_sorted(output.ends.begin(), output.ends.end()));
    ASSERT_EQ(output.ends.empty() ? 0 : output.ends.back(), output.text.size());
    ASSERT_EQ(*tokenizer_->Encode(output.text, text::Special::kNone), output.ids);
  }

  std::unique_ptr<text::Tokenizer> tokenizer_ = text::MakeRegexTokenizer();
  Prompt prompt_{.text = "a prompt", .echo = "a prompt"};
  std::vector<uint32_t> prompt_ids_ = std::vector<uint32_t>(100, 7);
};

TEST_F(GeneratorTest, EchoAnswersThePrompt) {
  const Output output = Echo("H\u00e9llo, you!");
  EXPECT_EQ(output.text, "H\u00e9llo, you!");
  EXPECT_THAT(output.ends, ElementsAre(6, 8, 11, 12));
  EXPECT_EQ(output.finish, FinishReason::kStop);
  EXPECT_EQ(Echo("").ids.size(), 0u);
}

TEST_F(GeneratorTest, EchoIsNotCutButFinishesForItsLength) {
  EXPECT_EQ(Echo("one two three", {.max_tokens = 4}).finish, FinishReason::kStop);
  EXPECT_EQ(Echo("one two three", {.max_tokens = 3}).finish, FinishReason::kLength);
  const Output longer = Echo("one two three", {.max_tokens = 1});
  EXPECT_EQ(longer.text, "one two three");
  EXPECT_EQ(longer.finish, FinishReason::kLength);
}

TEST_F(GeneratorTest, EchoWritesTokensOfAPromptWithoutText) {
  prompt_.text = "";
  prompt_.ids = {1, 22, 333};
  EXPECT_EQ(Echo("").text, "1,22,333");
}

TEST_F(GeneratorTest, StopsBeforeTheFirstStopString) {
  const Output output = Echo("one two three four", {.stop = {"four", "wo t", "three"}});
  EXPECT_EQ(output.text, "one t");
  EXPECT_THAT(output.ends, ElementsAre(4, 5));
  EXPECT_EQ(output.finish, FinishReason::kStop);
  EXPECT_EQ(output.stop, "wo t");
  EXPECT_EQ(Echo("one two").stop, "");
}

TEST_F(GeneratorTest, StopsBetweenTokens) {
  const Output output = Echo("one two three", {.stop = {"two"}});
  EXPECT_EQ(output.text, "one ");
  EXPECT_EQ(output.ids.size(), 1u);
  EXPECT_EQ(Echo("one two", {.stop = {"one"}}).text, "");
}

TEST_F(GeneratorTest, AStopIsNoMatterOfLength) {
  EXPECT_EQ(Echo("one two three", {.max_tokens = 2, .stop = {"three"}}).finish,
            FinishReason::kStop);
  EXPECT_EQ(Echo("one two three", {.max_tokens = 2, .stop = {"four", ""}}).finish,
            FinishReason::kLength);
}

TEST_F(GeneratorTest, LooksForStopsBehindTheFewestTokens) {
  EXPECT_EQ(Echo("a b a b a b", {.min_tokens = 3, .stop = {"b"}}).text, "a b a ");
  EXPECT_EQ(Echo("a b a b a b", {.min_tokens = 4, .stop = {"b"}}).text, "a b a b a ");
  EXPECT_EQ(Echo("a b a b", {.min_tokens = 4, .stop = {"a", "b"}}).text, "a b a b");
  EXPECT_EQ(Echo("a b a b", {.min_tokens = 9, .stop = {"a"}}).text, "a b a b");
}

TEST_F(GeneratorTest, RandomWithIgnoreEosHasExactlyMaxTokens) {
  const auto generator = MakeRandomGenerator(Options());
  for (int64_t max = 1; max < 300; ++max) {
    const Output output = Make(generator.get(), {.max_tokens = max, .ignore_eos = true});
    ASSERT_EQ(output.ids.size(), static_cast<size_t>(max));
    ASSERT_EQ(output.finish, FinishReason::kLength);
  }
}

TEST_F(GeneratorTest, RandomHasUpToMaxTokens) {
  const auto generator = MakeRandomGenerator(Options());
  std::map<size_t, int> seen;
  for (int i = 0; i < 2000; ++i) {
    const Output output = Make(generator.get(), {.max_tokens = 9});
    ++seen[output.ids.size()];
    ASSERT_EQ(output.finish == FinishReason::kLength, output.ids.size() == 9);
  }
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(seen.begin()->first, 1u);
  EXPECT_NEAR(seen[9], 300, 60) << "15 percent";
}

TEST_F(GeneratorTest, RandomHasAtLeastMinTokens) {
  const auto generator = MakeRandomGenerator(Options());
  std::set<size_t> seen;
  for (int i = 0; i < 500; ++i) {
    seen.insert(Make(generator.get(), {.max_tokens = 30, .min_tokens = 25}).ids.size());
  }
  EXPECT_EQ(*seen.begin(), 25u);
  EXPECT_EQ(*seen.rbegin(), 30u);
  EXPECT_EQ(Make(generator.get(), {.max_tokens = 5, .min_tokens = 9}).ids.size(), 5u);
}

TEST_F(GeneratorTest, RandomWithoutMaxTokensFitsIntoTheContext) {
  const auto generator = MakeRandomGenerator(Options());
  prompt_ids_.resize(995);
  bool reached_end = false;
  for (int i = 0; i < 200; ++i) {
    const Output output = Make(generator.get());
    ASSERT_GE(output.ids.size(), 1u);
    ASSERT_LE(output.ids.size(), 5u);
    ASSERT_EQ(output.finish == FinishReason::kLength, output.ids.size() == 5);
    reached_end = reached_end || output.ids.size() == 5;
  }
  EXPECT_TRUE(reached_end);
  prompt_ids_.resize(1000);
  EXPECT_TRUE(Make(generator.get()).ids.empty());
}

TEST_F(GeneratorTest, RandomNeverHasMoreThanTheContext) {
  const auto generator = MakeRandomGenerator(Options());
  const Sampling huge{.max_tokens = INT64_MAX, .ignore_eos = true};
  EXPECT_EQ(Make(generator.get(), huge).ids.size(), 1000u);
}

TEST_F(GeneratorTest, RandomRepeatsItselfForTheSameSeedOnly) {
  const auto one = MakeRandomGenerator(Options(1)), same = MakeRandomGenerator(Options(1)),
             other = MakeRandomGenerator(Options(2));
  const Sampling sampling{.max_tokens = 50, .ignore_eos = true};
  const Output first = Make(one.get(), sampling);
  EXPECT_EQ(Make(same.get(), sampling).text, first.text);
  EXPECT_NE(Make(other.get(), sampling).text, first.text);
  EXPECT_NE(Make(one.get(), sampling).text, first.text);
}

TEST_F(GeneratorTest, RandomSaysElevenSentences) {
  Random random(3);
  const Sentences sentences(*tokenizer_);
  std::set<std::string> beginnings;
  for (int i = 0; i < 500; ++i) {
    Output output;
    sentences.Fill(2, &random, &output);
    beginnings.insert(output.text);
  }
  EXPECT_EQ(beginnings.size(), 11u);
}

TEST_F(GeneratorTest, RandomIsCutByStopStrings) {
  const auto generator = MakeRandomGenerator(Options());
  const Output output =
      Make(generator.get(), {.max_tokens = 200, .ignore_eos = true, .stop = {"."}});
  EXPECT_THAT(output.text, Not(HasSubstr(".")));
  EXPECT_LT(output.ids.size(), 20u);
  EXPECT_EQ(output.finish, FinishReason::kStop);
}

// Offsets that neither begin, end nor follow each other as they should.
class OddTokenizer final : public text::Tokenizer {
 public:
  Result<std::vector<uint32_t>> Encode(std::string_view, text::Special) const override {
    return Fail(Errc::kInternal, "unused");
  }
  Result<text::Encoding> EncodeWithOffsets(std::string_view text, text::Special) const override {
    if (text == "none") return text::Encoding{};
    if (text == "refused") return Fail(Errc::kLimit, "text is too long");
    return text::Encoding{{1, 2, 3, 4}, {{0, 3}, {1, 2}, {2, 99}, {3, 4}}};
  }
  Result<std::string> Decode(std::span<const uint32_t>, bool) const override {
    return Fail(Errc::kInternal, "unused");
  }
  const text::CutRules& cut_rules() const override { return rules_; }
  size_t vocab_size() const override { return 5; }

 private:
  text::CutRules rules_;
};

TEST(Tokenized, CoversTheTextWhateverTheOffsetsAre) {
  const OddTokenizer tokenizer;
  const Output output = Tokenized("abcdef", tokenizer);
  EXPECT_THAT(output.ids, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(output.ends, ElementsAre(3, 3, 6, 6));
  EXPECT_EQ(output.text, "abcdef");
}

TEST(Tokenized, IsEmptyWithoutTokens) {
  const OddTokenizer tokenizer;
  EXPECT_EQ(Tokenized("none", tokenizer).text, "");
  EXPECT_EQ(Tokenized("refused", tokenizer).text, "");
}

TEST(Tokenized, KeepsTheEndWithTheLastToken) {
  const OddTokenizer tokenizer;
  EXPECT_THAT(Tokenized(std::string(200, 'x'), tokenizer).ends, ElementsAre(3, 3, 99, 200));
}

}  // namespace

}  // namespace headrace::sim
