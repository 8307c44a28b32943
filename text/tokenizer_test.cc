#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::text {

namespace {

using testing::ElementsAre;

TEST(ByteTokenizer, TakesEachByteAsItsId) {
  const auto tokenizer = MakeByteTokenizer();
  EXPECT_THAT(*tokenizer->Encode("a\xff\n", Special::kAdd), ElementsAre('a', 255, '\n'));
  EXPECT_TRUE(tokenizer->Encode("", Special::kNone)->empty());
  EXPECT_EQ(tokenizer->vocab_size(), 256u);
}

TEST(ByteTokenizer, TellsWhereEachTokenStands) {
  const auto made = MakeByteTokenizer()->EncodeWithOffsets("xy", Special::kNone);
  ASSERT_TRUE(made);
  EXPECT_THAT(made->ids, ElementsAre('x', 'y'));
  EXPECT_THAT(made->offsets, ElementsAre(ByteSpan{0, 1}, ByteSpan{1, 2}));
}

TEST(ByteTokenizer, DecodesWhatItEncoded) {
  const auto tokenizer = MakeByteTokenizer();
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text.push_back(static_cast<char>(byte));
  EXPECT_EQ(*tokenizer->Decode(*tokenizer->Encode(text, Special::kNone), false), text);
  const uint32_t beyond[] = {256};
  EXPECT_EQ(tokenizer->Decode(beyond, false).error().code, Errc::kInvalid);
}

TEST(ByteTokenizer, RefusesWhatIsTooLong) {
  const std::string text(kMaxTextBytes + 1, 'x');
  EXPECT_EQ(MakeByteTokenizer()->Encode(text, Special::kNone).error().code, Errc::kLimit);
}

TEST(Tokenizer, SaysWhichFileIsMissing) {
  std::string why;
  const auto loaded = LoadTokenizer("/nowhere/tokenizer.json", &why);
  EXPECT_EQ(loaded.error().code, Errc::kNotFound);
  EXPECT_EQ(why, "/nowhere/tokenizer.json: there is no such file");
}

TEST(Tokenizer, IsRefusedWithoutRustOrReadWithIt) {
  std::string why;
  const auto parsed = ParseTokenizer("{}", &why);
  EXPECT_EQ(parsed.error().code, HasTokenizers() ? Errc::kInvalid : Errc::kUnsupported);
  EXPECT_FALSE(why.empty());
}

}  // namespace

}  // namespace headrace::text
