#include "indexer/model_texts.h"

#include <gtest/gtest.h>

namespace headrace::indexer {
namespace {

std::unique_ptr<ModelTexts> Bytes(uint32_t max_tokens = 100) {
  return ModelTexts::Of("m", text::MakeByteTokenizer(), {.max_tokens = max_tokens});
}

ScoreCall Prompt(const std::string& model, const std::string& prompt) {
  ScoreCall call;
  call.model = model;
  call.prompt = prompt;
  return call;
}

// "field: message"
std::string Refusal(const ModelTexts& texts, ScoreCall call) {
  ApiError error;
  ModelTexts::Effort effort;
  EXPECT_FALSE(texts.Tokenize(&call, 0, &effort, &error));
  EXPECT_EQ(error.status, 400);
  return error.field + ": " + error.message;
}

TEST(ModelTexts, TokenizesPrompts) {
  const auto texts = Bytes();
  ScoreCall call = Prompt("m", "abc");
  ApiError error;
  ModelTexts::Effort effort;
  ASSERT_TRUE(texts->Tokenize(&call, 0, &effort, &error)) << error.message;
  EXPECT_EQ(call.tokens, (std::vector<uint32_t>{'a', 'b', 'c'}));
  EXPECT_GT(effort.tokenize_seconds, 0);
  EXPECT_EQ(effort.render_seconds, 0);
  ASSERT_EQ(texts->stats().size(), 1u);
  EXPECT_EQ(texts->stats()[0].store.lookups, 1u);
}

TEST(ModelTexts, LeavesTokensAsTheyAre) {
  std::string message;
  const auto texts = ModelTexts::Create({}, {}, &message);
  ASSERT_TRUE(texts);
  ScoreCall call;
  call.model = "any";
  call.input = ScoreCall::Input::kTokens;
  call.tokens = {1, 2};
  ApiError error;
  ModelTexts::Effort effort;
  ASSERT_TRUE((*texts)->Tokenize(&call, 0, &effort, &error));
  EXPECT_EQ(call.tokens, (std::vector<uint32_t>{1, 2}));
}

TEST(ModelTexts, RefusesModelsThatAreNotListed) {
  EXPECT_EQ(Refusal(*Bytes(), Prompt("x", "abc")),
            "model: \"x\" is not known here; the models are m");
}

TEST(ModelTexts, RefusesPromptsOfModelsWithoutATokenizer) {
  std::string message;
  const auto texts = ModelTexts::Create({{.name = "m", .tokenizer = ""}}, {}, &message);
  ASSERT_TRUE(texts);
  EXPECT_EQ(Refusal(**texts, Prompt("m", "abc")),
            "model: \"m\" has no tokenizer here; name one under models in --index-config, or send "
            "token_ids");
}

TEST(ModelTexts, RefusesChatsWithoutATemplate) {
  ScoreCall call;
  call.model = "m";
  call.input = ScoreCall::Input::kMessages;
  call.messages = "[{}]";
  EXPECT_EQ(Refusal(*Bytes(), call).find("messages: model m has no chat template here"), 0u);
}

TEST(ModelTexts, RefusesPromptsWithTooManyTokens) {
  EXPECT_EQ(Refusal(*Bytes(3), Prompt("m", "abcd")),
            "prompt: has 4 tokens; at most 3 may be (--index-max-tokens)");
}

TEST(ModelTexts, NameTheModelWhoseTokenizerIsNotThere) {
  std::string message;
  EXPECT_FALSE(
      ModelTexts::Create({{.name = "m", .tokenizer = "/nowhere/tokenizer"}}, {}, &message));
  EXPECT_EQ(message.find("models: m: tokenizer: "), 0u) << message;
}

}  // namespace
}  // namespace headrace::indexer
