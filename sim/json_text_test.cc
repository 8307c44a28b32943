#include "sim/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonText, EscapesWhatMustBeEscaped) {
  EXPECT_EQ(Quoted(""), "\"\"");
  EXPECT_EQ(Quoted("a\"b\\c\nd\re\tf"), R"("a\"b\\c\nd\re\tf")");
  EXPECT_EQ(Quoted(std::string_view("\0\x01\x1f\x7f", 4)), "\"\\u0000\\u0001\\u001f\x7f\"");
  EXPECT_EQ(Quoted("h\xc3\xa9llo \xf0\x9f\x98\x80"), "\"h\xc3\xa9llo \xf0\x9f\x98\x80\"");
}

TEST(JsonText, FindsEveryByteAtEveryPlace) {
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = byte >= 0x20 && byte != '"' && byte != '\\';
    for (size_t place = 0; place < 20; ++place) {
      std::string text(20, '\xe9');
      text[place] = static_cast<char>(byte);
      EXPECT_EQ(PlainRun(text), plain ? text.size() : place) << byte << " at " << place;
    }
  }
}

TEST(JsonText, IsReadBackByAnotherLibrary) {
  std::string text;
  for (int byte = 0; byte < 128; ++byte) text += static_cast<char>(byte);
  EXPECT_EQ(nlohmann::json::parse(Quoted(text)).get<std::string>(), text);
}

TEST(JsonText, WritesNumbers) {
  std::string out;
  AppendNumber(INT64_MIN, &out);
  AppendNumber(0, &out);
  AppendNumber(42, &out);
  EXPECT_EQ(out, "-9223372036854775808042");
}

}  // namespace
}  // namespace headrace::sim
