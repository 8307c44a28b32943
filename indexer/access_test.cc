#include "indexer/access.h"

#include <gtest/gtest.h>

namespace headrace::indexer {
namespace {

constexpr const char* kFile =
    "# of the fleet\n"
    "\n"
    "  0123456789abcdef  \n"
    "tenant-a-token-1 salt=blue\r\n"
    "tenant-b-token-2\tsalt=two words\n";

AccessTokens Tokens(const char* text) {
  std::string message;
  auto tokens = AccessTokens::Parse(text, &message);
  HR_CHECK(tokens.has_value());
  return *tokens;
}

std::string Refusal(std::string_view text) {
  std::string message;
  EXPECT_FALSE(AccessTokens::Parse(text, &message)) << text;
  return message;
}

TEST(AccessTokens, OpensEverythingForATokenWithoutASalt) {
  const AccessTokens tokens = Tokens(kFile);
  EXPECT_EQ(tokens.size(), 3u);
  const auto grant = tokens.Check("Bearer 0123456789abcdef");
  ASSERT_TRUE(grant);
  EXPECT_TRUE(grant->everything);
  EXPECT_EQ(grant->salt, "");
}

TEST(AccessTokens, BindsATenantsTokenToItsSalt) {
  const AccessTokens tokens = Tokens(kFile);
  const auto grant = tokens.Check("Bearer tenant-a-token-1");
  ASSERT_TRUE(grant);
  EXPECT_FALSE(grant->everything);
  EXPECT_EQ(grant->salt, "blue");
  EXPECT_EQ(tokens.Check("bearer  tenant-b-token-2 ")->salt, "two words");
}

TEST(AccessTokens, RefusesAllThatIsNotExactlyAToken) {
  const AccessTokens tokens = Tokens(kFile);
  for (const char* header :
       {"", "Bearer", "Bearer ", "0123456789abcdef", "Basic 0123456789abcdef",
        "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer 0123456789abcdeF",
        "Bearer 0123456789abcdef0123456789abcdef", "Bearer 0123456789abcdef, Bearer x",
        "Bearer tenant-a-token-1 salt=blue"}) {
    EXPECT_FALSE(tokens.Check(header)) << header;
  }
}

TEST(AccessTokens, SaysWhatIsWrongWithALine) {
  EXPECT_EQ(Refusal("# nothing\n"), "holds no token; write one a line");
  EXPECT_EQ(Refusal("\n\nshort\n"), "line 3: a token has 16 or more letters, digits or -._~+/=");
  EXPECT_NE(Refusal("0123456789abcd\xff\xff"), "");
  EXPECT_EQ(Refusal("0123456789abcdef tenant=a\n"),
            "line 1: behind the token stands salt=TEXT or nothing");
  EXPECT_NE(Refusal("0123456789abcdef salt=\n"), "");
  const std::string twice = Refusal("0123456789abcdef salt=a\n0123456789abcdef\n");
  EXPECT_EQ(twice, "line 2: this token stands there twice; keep one");
}

TEST(AccessTokens, SaysThatAFileCannotBeRead) {
  std::string message;
  EXPECT_FALSE(AccessTokens::Read("/nowhere/tokens", &message));
  EXPECT_EQ(message, "cannot be read: No such file or directory");
}

}  // namespace
}  // namespace headrace::indexer
