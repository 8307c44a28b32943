#include "net/http_target.h"

#include <gtest/gtest.h>

namespace headrace::net {
namespace {

using Query = std::map<std::string, std::string>;

TEST(ParseTarget, TakesPathAndQueryApart) {
  auto target = ParseTarget("/score?pod=a&top=3");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/score");
  EXPECT_EQ(target->query, (Query{{"pod", "a"}, {"top", "3"}}));
  EXPECT_EQ(ParseTarget("/")->query, Query{});
  EXPECT_EQ(ParseTarget("/x?")->path, "/x");
}

TEST(ParseTarget, DecodesPercentCodesAndPluses) {
  auto target = ParseTarget("/a%20b+c?k%3D=a+b%2bc%26");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a b+c");
  EXPECT_EQ(target->query, (Query{{"k=", "a b+c&"}}));
}

TEST(ParseTarget, TakesOddQueries) {
  EXPECT_EQ(ParseTarget("/?a")->query, (Query{{"a", ""}}));
  EXPECT_EQ(ParseTarget("/?a=&&b=c=d&")->query, (Query{{"a", ""}, {"b", "c=d"}}));
  EXPECT_EQ(ParseTarget("/?a=1&a=2")->query, (Query{{"a", "2"}}));
  EXPECT_EQ(ParseTarget("/?a=1#part?b=2")->query, (Query{{"a", "1"}}));
}

TEST(ParseTarget, RefusesBrokenTargets) {
  for (const char* text : {"", "score", "*", "http://a/b", "/%", "/%2", "/%zz", "/a%0", "/%00",
                           "/?a=%", "/?%g1=a", "/?a=%-1"}) {
    EXPECT_FALSE(ParseTarget(text)) << text;
  }
}

}  // namespace
}  // namespace headrace::net
