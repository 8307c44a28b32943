#include "indexer/redis_schema.h"

#include <gtest/gtest.h>

namespace headrace::indexer {
namespace {

using std::string_literals::operator""s;

TEST(RedisSchema, NamesNativeKeysByPrefixKindAndEightBytes) {
  const NativeNames names("hr:");
  EXPECT_EQ(names.Request(0x0102030405060708), "hr:r\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(names.Engine(255), "hr:e\0\0\0\0\0\0\0\xff"s);
  EXPECT_TRUE(names.IsRequest(names.Request(7)));
  EXPECT_FALSE(names.IsRequest(names.Engine(7)));
  EXPECT_TRUE(names.IsEngine(names.Engine(7)));
  EXPECT_FALSE(names.IsEngine(names.pods));
  EXPECT_FALSE(names.IsRequest("hr:r"));
  EXPECT_EQ(KeyOfBytes(KeyBytes(0xfedcba9876543210)), 0xfedcba9876543210);
}

TEST(RedisSchema, HolderTakesEightBytesWithItsLife) {
  const std::string field = LifeBytes(0x01020304050607) + NativeSuffix({"", "cpu", -1, false});
  EXPECT_EQ(field, "\x01\x02\x03\x04\x05\x06\x07\x02");
}

TEST(RedisSchema, NativeFieldsComeBackAsTheyWent) {
  for (const char* tier : {"gpu", "cpu", "disk", "remote", "storage", "shared_storage", "lustre"}) {
    for (int group : {-1, 0, 1, 300, 32767}) {
      for (bool speculative : {false, true}) {
        const RemoteHolder holder{"", tier, static_cast<int16_t>(group), speculative};
        PodLife life = 0;
        RemoteHolder back;
        ASSERT_TRUE(ParseNativeField(LifeBytes(99) + NativeSuffix(holder), &life, &back));
        EXPECT_EQ(life, 99u);
        EXPECT_EQ(back, holder);
      }
    }
  }
}

TEST(RedisSchema, RefusesFieldsThatItDidNotWrite) {
  PodLife life = 0;
  RemoteHolder holder;
  EXPECT_FALSE(ParseNativeField("", &life, &holder));
  for (const std::string& rest :
       {""s, "\x0f"s, "\x41"s, "\x81"s, "\x21"s, "\x21\xff\xff"s, "\x01x"s}) {
    const std::string field = LifeBytes(99) + rest;
    EXPECT_FALSE(ParseNativeField(field, &life, &holder)) << testing::PrintToString(field);
  }
}

TEST(RedisSchema, WritesLlmdsFieldsByteForByte) {
  EXPECT_EQ(LlmdField({"10.0.0.1:8000", "gpu", -1, false}),
            R"({"PodIdentifier":"10.0.0.1:8000","DeviceTier":"gpu","Speculative":false,)"
            R"("HasGroup":false,"GroupIdx":0})");
  EXPECT_EQ(LlmdField({"p", "cpu", 2, true}),
            R"({"PodIdentifier":"p","DeviceTier":"cpu","Speculative":true,)"
            R"("HasGroup":true,"GroupIdx":2})");
  EXPECT_EQ(LlmdRequest(UINT64_MAX), "18446744073709551615");
  EXPECT_EQ(LlmdEngine(7), "engine:7");
}

TEST(RedisSchema, EscapesStringsAsGoDoes) {
  const auto pod = [](const std::string& name) {
    const std::string field = LlmdField({name, "gpu", -1, false});
    const size_t begin = field.find(':') + 1;
    return field.substr(begin, field.find(",\"DeviceTier\"") - begin);
  };
  EXPECT_EQ(pod("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(pod("\n\r\t\b\f\x01\x7f"), "\"\\n\\r\\t\\b\\f\\u0001\x7f\"");
  EXPECT_EQ(pod("<&>"), R"("\u003c\u0026\u003e")");
  EXPECT_EQ(pod("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\\u2028\\u2029\xe2\x80\xaa\"");
  EXPECT_EQ(pod("p\xff\xc0\xaf\xed\xa0\x80q"), "\"p\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffdq\"");
  EXPECT_EQ(pod("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"");
}

TEST(RedisSchema, ReadsLlmdsFields) {
  for (const RemoteHolder& holder :
       {RemoteHolder{"10.0.0.1:8000", "gpu", -1, false}, RemoteHolder{"<p>", "cpu", 3, true}}) {
    auto back = ParseLlmdField(LlmdField(holder));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(*back, holder);
  }
  for (const char* field :
       {"", "pod@gpu", "{}", "[]", R"({"PodIdentifier":1,"DeviceTier":"gpu"})",
        R"({"PodIdentifier":"p","DeviceTier":"g","HasGroup":true})",
        R"({"PodIdentifier":"p","DeviceTier":"g","HasGroup":true,"GroupIdx":-1})",
        R"({"PodIdentifier":"p","DeviceTier":"g","HasGroup":true,"GroupIdx":99999})"}) {
    EXPECT_FALSE(ParseLlmdField(field).has_value()) << field;
  }
}

TEST(RedisSchema, RulesReadBack) {
  const RemoteRules rules{.groups = {{0, GroupRule::kFull, 0},
                                     {3, GroupRule::kWindow, 4096},
                                     {4, GroupRule::kState, 0}},
                          .serves = {"10.0.0.1:8000", std::string("\xff\0", 2)},
                          .serve_space = UINT64_MAX};
  const auto back = RulesOfBytes(RulesBytes(rules));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, rules);
  EXPECT_TRUE(RulesOfBytes(RulesBytes({}))->empty());
  const std::string bytes = RulesBytes(rules);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(RulesOfBytes(bytes.substr(0, size)).has_value()) << size;
  }
  std::string strange = bytes;
  strange[strange.find("window")] = 'W';
  EXPECT_FALSE(RulesOfBytes(strange).has_value());
}

TEST(RedisSchema, QuotesPatterns) {
  EXPECT_EQ(GlobQuoted("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
  EXPECT_EQ(GlobQuoted("hr:"), "hr:");
}

}  // namespace
}  // namespace headrace::indexer
