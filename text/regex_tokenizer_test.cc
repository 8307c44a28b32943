#include "text/regex_tokenizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace headrace::text {

namespace {

using testing::ElementsAre;

std::vector<std::string> Pieces(std::string_view text) {
  const auto made = MakeRegexTokenizer()->EncodeWithOffsets(text, Special::kAdd);
  std::vector<std::string> pieces;
  for (const ByteSpan& span : made->offsets) {
    pieces.emplace_back(text.substr(span.begin, span.end - span.begin));
  }
  return pieces;
}

uint32_t Id(std::string_view piece) {
  uint32_t hash = 2166136261;
  for (const char byte : piece) hash = (hash ^ static_cast<uint8_t>(byte)) * 16777619;
  return hash;
}

TEST(RegexTokenizer, SplitsIntoWordsAndMarks) {
  EXPECT_THAT(Pieces("Hello, snake_case42 world!"),
              ElementsAre("Hello", ", ", "snake_case42 ", "world", "!"));
  EXPECT_THAT(Pieces("a--b"), ElementsAre("a", "-", "-", "b"));
  EXPECT_THAT(Pieces("don't"), ElementsAre("don", "'", "t"));
}

TEST(RegexTokenizer, KeepsWhiteSpaceWithWhatIsBeforeIt) {
  EXPECT_THAT(Pieces("a \t\r\n b\n\n"), ElementsAre("a \t\r\n ", "b\n\n"));
  EXPECT_THAT(Pieces("! \v\f ?"), ElementsAre("! \v\f ", "?"));
}

TEST(RegexTokenizer, KeepsWhiteSpaceThatBeginsTheText) {
  EXPECT_THAT(Pieces("  a"), ElementsAre("  ", "a"));
  EXPECT_THAT(Pieces("\n"), ElementsAre("\n"));
  EXPECT_TRUE(Pieces("").empty());
}

TEST(RegexTokenizer, KeepsOtherCharactersWhole) {
  EXPECT_THAT(Pieces("h\u00e9llo w\u00f6rld"), ElementsAre("h\u00e9llo ", "w\u00f6rld"));
  EXPECT_THAT(Pieces("\u4f60\u597d, \U0001f600."),
              ElementsAre("\u4f60\u597d", ", ", "\U0001f600", "."));
}

TEST(RegexTokenizer, KeepsControlCharacters) {
  EXPECT_THAT(Pieces(std::string_view("a\0b\x01", 4)),
              ElementsAre("a", std::string(1, '\0'), "b", "\x01"));
}

TEST(RegexTokenizer, MakesIdsOfTheBytesOfATokenWithItsSpace) {
  const auto tokenizer = MakeRegexTokenizer();
  const auto ids = tokenizer->Encode("Hello, w\u00f6rld", Special::kAdd);
  EXPECT_THAT(*ids, ElementsAre(Id("Hello"), Id(", "), Id("w\u00f6rld")));
  // FNV-1a-32 as its authors publish it.
  EXPECT_THAT(*tokenizer->Encode("foobar", Special::kNone), ElementsAre(0xbf9cf968u));
  EXPECT_EQ(tokenizer->EncodeWithOffsets("Hello, w\u00f6rld", Special::kAdd)->ids, *ids);
}

TEST(RegexTokenizer, ReplacesWhatIsNoUtf8) {
  const auto tokenizer = MakeRegexTokenizer();
  EXPECT_THAT(*tokenizer->Encode("a\xff b", Special::kNone), ElementsAre(Id("a\ufffd "), Id("b")));
  const auto made = tokenizer->EncodeWithOffsets("a\xff b", Special::kNone);
  EXPECT_THAT(made->offsets, ElementsAre(ByteSpan{0, 5}, ByteSpan{5, 6}));
}

TEST(RegexTokenizer, DecodesWhatItEncoded) {
  const auto tokenizer = MakeRegexTokenizer();
  const std::string text = " The quick, br\u00f6wn fox -\n\njumps over 13 lazy_dogs...";
  const auto ids = tokenizer->Encode(text, Special::kNone);
  EXPECT_EQ(*tokenizer->Decode(*ids, false), text);
  const uint32_t unknown[] = {Id("fox "), 0, Id("cat"), Id("dog"), Id("-\n\n")};
  EXPECT_EQ(*tokenizer->Decode(unknown, true), "fox \ufffd\ufffd\ufffd-\n\n");
}

TEST(RegexTokenizer, DoesNotRememberWhatIsTooLong) {
  const auto tokenizer = MakeRegexTokenizer();
  const std::string longest(kMaxKnownPieceBytes, 'x'), longer(kMaxKnownPieceBytes + 1, 'x');
  EXPECT_EQ(*tokenizer->Decode(*tokenizer->Encode(longest, Special::kNone), false), longest);
  EXPECT_EQ(*tokenizer->Decode(*tokenizer->Encode(longer, Special::kNone), false), "\ufffd");
}

TEST(RegexTokenizer, ForgetsTheOldestPiecesOfManyMore) {
  const auto tokenizer = MakeRegexTokenizer();
  constexpr uint32_t kWords = 4 * kMaxKnownPieces;
  for (uint32_t word = 0; word < kWords; ++word) {
    ASSERT_TRUE(tokenizer->Encode(fmt::format("word{}", word), Special::kNone));
  }
  const auto known = [&](uint32_t word) {
    const std::string text = fmt::format("word{}", word);
    const uint32_t ids[] = {Id(text)};
    return *tokenizer->Decode(ids, false) == text;
  };
  uint32_t remembered = 0, old = 0;
  for (uint32_t word = 0; word < kWords; ++word) remembered += known(word) ? 1 : 0;
  for (uint32_t word = 0; word < kWords / 4; ++word) old += known(word) ? 1 : 0;
  EXPECT_LE(remembered, kMaxKnownPieces);
  EXPECT_GT(remembered, kMaxKnownPieces / 2);
  EXPECT_LT(old, remembered / 20);
  EXPECT_TRUE(known(kWords - 1));
}

TEST(RegexTokenizer, RefusesWhatIsTooLong) {
  const std::string text(kMaxTextBytes + 1, 'x');
  EXPECT_EQ(MakeRegexTokenizer()->Encode(text, Special::kNone).error().code, Errc::kLimit);
}

TEST(RegexTokenizer, ServesManyThreads) {
  const auto tokenizer = MakeRegexTokenizer();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const std::string text = fmt::format("piece{} and {}", i, i * 7);
        const auto ids = tokenizer->Encode(text, Special::kNone);
        EXPECT_EQ(*tokenizer->Decode(*ids, false), text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

}  // namespace headrace::text
