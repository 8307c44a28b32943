#include "sim/token_api.h"

#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

TEST(Tokenize, IsAskedForAPrompt) {
  const auto call = ParseTokenize(R"({"model":"m","prompt":"a","return_token_strs":true})");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->model, "m");
  EXPECT_EQ(call->prompt.text, "a");
  EXPECT_FALSE(call->chat);
  EXPECT_TRUE(call->add_special_tokens);
  EXPECT_TRUE(call->return_token_strs);
  EXPECT_FALSE(ParseTokenize(R"({"prompt":"","add_special_tokens":false})")->add_special_tokens);
}

TEST(Tokenize, IsAskedForMessages) {
  const auto call = ParseTokenize(R"({"messages":[{"role":"user","content":"a"}]})");
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->chat);
  EXPECT_EQ(call->prompt.text, "### user: a\n");
  EXPECT_FALSE(call->add_special_tokens);
  EXPECT_FALSE(call->return_token_strs);
}

TEST(Tokenize, TakesExactlyOneOfBoth) {
  for (const char* body : {"{}", R"({"prompt":null})", R"({"prompt":7})",
                           R"({"prompt":"a","messages":[{"role":"user","content":"a"}]})"}) {
    const auto call = ParseTokenize(body);
    ASSERT_FALSE(call) << body;
    EXPECT_EQ(call.error().status, 400);
    EXPECT_EQ(call.error().param, "prompt");
  }
  EXPECT_FALSE(ParseTokenize(R"({"messages":[]})"));
  EXPECT_FALSE(ParseTokenize("[]"));
}

TEST(Tokenize, TellsTokensAndWhenAskedTheirStrings) {
  const std::vector<uint32_t> tokens = {1, 2};
  EXPECT_EQ(TokenizeBody(tokens, 1024, nullptr),
            R"({"count":2,"max_model_len":1024,"tokens":[1,2],"token_strs":null})");
  const std::vector<std::string> strings = {"a", "\"b"};
  EXPECT_EQ(TokenizeBody(tokens, 1024, &strings),
            R"({"count":2,"max_model_len":1024,"tokens":[1,2],"token_strs":["a","\"b"]})");
  EXPECT_EQ(TokenizeBody({}, 1, nullptr),
            R"({"count":0,"max_model_len":1,"tokens":[],"token_strs":null})");
}

TEST(Detokenize, TakesTokensAndTellsText) {
  EXPECT_EQ(ParseDetokenize(R"({"model":"m","tokens":[1,2]})")->tokens,
            (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(ParseDetokenize(R"({"model":"m","tokens":[]})")->model, "m");
  for (const char* body : {"{}", R"({"tokens":"a"})", R"({"tokens":[-1]})"}) {
    ASSERT_FALSE(ParseDetokenize(body)) << body;
    EXPECT_EQ(ParseDetokenize(body).error().param, "tokens");
  }
  EXPECT_EQ(DetokenizeBody("a\n"), R"({"prompt":"a\n"})");
}

TEST(Render, TellsTokensAndWhereMediaStand) {
  const RenderedPrompt plain{.tokens = {1, 2}};
  const RenderedPrompt media{.tokens = {3}, .media = {{"h", 9}, {"g", 9}}, .media_at = {0, 1}};
  EXPECT_EQ(RenderBody(plain), R"({"token_ids":[1,2]})");
  EXPECT_EQ(RenderBody(media),
            R"({"token_ids":[3],"features":{"mm_hashes":{"image":["h","g"]},)"
            R"("mm_placeholders":{"image":[{"offset":0,"length":1},{"offset":1,"length":1}]}}})");
  EXPECT_EQ(RenderBody(std::vector<RenderedPrompt>{plain, plain}),
            R"([{"token_ids":[1,2]},{"token_ids":[1,2]}])");
  EXPECT_EQ(RenderBody(std::span<const RenderedPrompt>()), "[]");
}

}  // namespace
}  // namespace headrace::sim
