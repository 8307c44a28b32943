#include "text/prefix_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "text/utf8.h"

namespace headrace::text {

namespace {

using Ids = std::vector<uint32_t>;

// As bytes, but counts what it is asked, and its rules are those of the test.
class CountingTokenizer final : public Tokenizer {
 public:
  explicit CountingTokenizer(CutRules rules) : rules_(std::move(rules)) {}

  Result<Ids> Encode(std::string_view text, Special special) const override {
    encoded_bytes += text.size();
    HR_TRY(Ids ids, bytes_->Encode(text, Special::kNone));
    if (special == Special::kAdd) {
      ids.insert(ids.begin(), rules_.head.begin(), rules_.head.end());
      ids.insert(ids.end(), rules_.tail.begin(), rules_.tail.end());
    }
    return ids;
  }
  Result<Encoding> EncodeWithOffsets(std::string_view text, Special special) const override {
    encoded_bytes += text.size();
    return bytes_->EncodeWithOffsets(text, special);
  }
  Result<std::string> Decode(std::span<const uint32_t> ids, bool skip) const override {
    return bytes_->Decode(ids, skip);
  }
  const CutRules& cut_rules() const override { return rules_; }
  size_t vocab_size() const override { return bytes_->vocab_size(); }

  mutable std::atomic<size_t> encoded_bytes = 0;

 private:
  std::unique_ptr<Tokenizer> bytes_ = MakeByteTokenizer();
  CutRules rules_;
};

CutRules InText() {
  return {.in_text = true, .anchors = {}, .affixes_known = true, .head = {1000}, .tail = {1001}};
}

std::string Words(size_t count, std::string_view word) {
  std::string text;
  for (size_t done = 0; done < count; ++done) text.append(word).append(" ");
  return text;
}

TEST(PrefixStore, TokenizesOnlyWhatIsNew) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {.chunk_bytes = 64});
  const std::string prompt = Words(200, "word");
  ASSERT_TRUE(store.Encode(prompt, Special::kNone));
  tokenizer.encoded_bytes = 0;
  const std::string longer = prompt + "and a question?";
  EXPECT_EQ(*store.Encode(longer, Special::kNone), *tokenizer.Encode(longer, Special::kNone));
  EXPECT_LT(tokenizer.encoded_bytes - longer.size(), 64u + 32u);
  const PrefixStore::Stats stats = store.stats();
  EXPECT_EQ(stats.lookups, 2u);
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_GT(stats.reused_tokens, prompt.size() - 64);
}

TEST(PrefixStore, AnswersWholeForAChangedTail) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {.chunk_bytes = 16});
  const std::string prompt = Words(50, "abc");
  for (size_t keep = 0; keep <= prompt.size(); ++keep) {
    const std::string changed = prompt.substr(0, keep) + "!changed";
    EXPECT_EQ(*store.Encode(changed, Special::kNone), *tokenizer.Encode(changed, Special::kNone));
  }
}

TEST(PrefixStore, AddsTheSpecialTokensAroundReusedOnes) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {.chunk_bytes = 16});
  const std::string text = Words(30, "abc");
  for (const Special special : {Special::kAdd, Special::kNone, Special::kAdd}) {
    EXPECT_EQ(*store.Encode(text, special), *tokenizer.Encode(text, special));
  }
  EXPECT_EQ(store.stats().hits, 2u);
}

TEST(PrefixStore, ReusesNothingWithoutSafeCuts) {
  const CountingTokenizer tokenizer(CutRules{});
  PrefixStore store(tokenizer, {.chunk_bytes = 16});
  const std::string text = Words(100, "abc");
  ASSERT_TRUE(store.Encode(text, Special::kNone) && store.Encode(text, Special::kNone));
  EXPECT_EQ(tokenizer.encoded_bytes, 2 * text.size());
  EXPECT_EQ(store.stats().entries, 0u);
}

TEST(PrefixStore, AsksTheTokenizerWhenItCannotTellWhatIsAdded) {
  CutRules rules = InText();
  rules.affixes_known = false;
  const CountingTokenizer tokenizer(rules);
  PrefixStore store(tokenizer, {.chunk_bytes = 16});
  const std::string text = Words(20, "abc");
  EXPECT_EQ(*store.Encode(text, Special::kAdd), *tokenizer.Encode(text, Special::kAdd));
  EXPECT_EQ(store.stats().lookups, 0u);
}

TEST(PrefixStore, KeepsNoChunkBehindAnAnchorThatIsNoToken) {
  CutRules rules;
  rules.anchors = {"<end>"};
  const CountingTokenizer tokenizer(rules);
  PrefixStore store(tokenizer, {.chunk_bytes = 4});
  ASSERT_TRUE(store.Encode("some text<end>more", Special::kNone));
  EXPECT_EQ(store.stats().entries, 0u);
}

TEST(PrefixStore, StaysWithinItsBytesAndForgetsTheOldestFirst) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {.max_bytes = 20'000, .chunk_bytes = 64});
  const std::string hot = Words(20, "hot");
  for (int round = 0; round < 200; ++round) {
    ASSERT_TRUE(store.Encode(hot, Special::kNone));
    ASSERT_TRUE(store.Encode(Words(40, std::to_string(round).append("x")), Special::kNone));
    ASSERT_LE(store.stats().bytes, 20'000u);
  }
  const PrefixStore::Stats stats = store.stats();
  EXPECT_GT(stats.evictions, 100u);
  EXPECT_GT(stats.entries, 10u);
  EXPECT_EQ(stats.hits, 199u);
}

TEST(PrefixStore, KeepsNothingLargerThanItself) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {.max_bytes = 100, .chunk_bytes = 16});
  const std::string text = Words(30, "abc");
  EXPECT_EQ(*store.Encode(text, Special::kNone), *tokenizer.Encode(text, Special::kNone));
  EXPECT_EQ(store.stats().bytes, 0u);
  PrefixStore off(tokenizer, {.max_bytes = 0});
  EXPECT_TRUE(off.Encode(text, Special::kNone));
}

TEST(PrefixStore, RefusesWhatTheTokenizerRefuses) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {});
  const std::string text(kMaxTextBytes + 1, ' ');
  EXPECT_EQ(store.Encode(text, Special::kNone).error().code, Errc::kLimit);
}

TEST(PrefixStore, ServesManyThreads) {
  const CountingTokenizer tokenizer(InText());
  PrefixStore store(tokenizer, {.max_bytes = 30'000, .chunk_bytes = 16});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 200; ++round) {
        const std::string text = Words(30, "w") + Words(30, std::to_string(round % 7 + thread));
        HR_CHECK(*store.Encode(text, Special::kNone) == *tokenizer.Encode(text, Special::kNone));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store.stats().lookups, 800u);
}

TEST(CutFinder, FindsTheFirstPlaceFromWhereItIsAsked) {
  const CutFinder finder({.in_text = true, .anchors = {"<a>", "<ab>"}});
  EXPECT_EQ(finder.Next("ab cd", 0).at, 2u);
  EXPECT_EQ(finder.Next("ab cd", 3).at, 0u);
  EXPECT_EQ(finder.Next("a1 c. é x", 0).at, 0u);
  EXPECT_EQ(finder.Next("..<ab>", 0).at, 2u);
  EXPECT_EQ(finder.Next("..<ab>", 0).anchor, 4u);
  EXPECT_EQ(finder.Next("<a>", 0).at, 0u);
  EXPECT_EQ(finder.Next("..<a", 0).at, 0u);
}

// Random prompts that share beginnings, cut and changed anywhere.
class Prompts {
 public:
  explicit Prompts(uint64_t seed) : random_(seed) {}

  std::string Next() {
    std::string text = texts_.empty() || Below(4) == 0 ? "" : texts_[Below(texts_.size())];
    text.resize(text.empty() ? 0 : Below(text.size() + 1));
    for (size_t parts = Below(40) + 1; parts > 0; --parts) text += kParts[Below(std::size(kParts))];
    texts_.push_back(text);
    return text;
  }
  bool Coin() { return Below(2) == 0; }

 private:
  static constexpr const char* kParts[] = {
      "the ",     " word",      "cache",          " ",
      "  ",       "\n",         " \n ",           "'s",
      "'LL ",     "I'm ",       "12345 ",         "x1 y2",
      "é ",       "e\xcc\x81 ", "日本",           "\xf0\x9f\x98\x80",
      "\xe4\xb8", "<|header|>", "<|turn_end|>",   "<|turn",
      "_end|>",   "<|begin|>",  "\xc2\xa0",       "\t",
      "...",      "\xff",       "a b c d e f g ", "Z",
      " -> ",     "(x) ",       "\xe2\x80\x83",   "\r\n\r\n"};

  size_t Below(size_t count) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(random_);
  }

  std::mt19937_64 random_;
  std::vector<std::string> texts_;
};

TEST(PrefixStore, AnswersAsARealTokenizerForRandomTexts) {
  if (!HasTokenizers()) GTEST_SKIP() << "this build has no tokenizers";
  std::string why;
  const auto tokenizer = LoadTokenizer(HEADRACE_TEXT_DATA, &why);
  ASSERT_TRUE(tokenizer) << why;
  PrefixStore store(**tokenizer, {.max_bytes = 200'000, .chunk_bytes = 8});
  Prompts prompts(4711);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = prompts.Next();
    const Special special = prompts.Coin() ? Special::kAdd : Special::kNone;
    ASSERT_EQ(*store.Encode(text, special), *(*tokenizer)->Encode(text, special))
        << testing::PrintToString(text);
  }
  const PrefixStore::Stats stats = store.stats();
  EXPECT_GT(stats.hits, 500u);
  EXPECT_GT(stats.evictions, 100u);
}

}  // namespace

}  // namespace headrace::text
