#include "sim/completions_api.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

Request Read(std::string_view prompt, std::string_view more = "") {
  const std::string body = fmt::format(R"({{"model":"m","prompt":{}{}}})", prompt, more);
  auto request = ParseCompletion(body, {});
  EXPECT_TRUE(request) << body << ": " << (request ? "" : request.error().message);
  return request ? *std::move(request) : Request{};
}

// "param: message" of a body that is refused.
std::string Refusal(std::string_view body) {
  const auto request = ParseCompletion(body, {});
  EXPECT_FALSE(request) << body;
  if (request) return "";
  EXPECT_EQ(request.error().status, 400);
  return request.error().param.value_or("-") + ": " + request.error().message;
}
std::string PromptRefusal(std::string_view prompt) {
  return Refusal(fmt::format(R"({{"prompt":{}}})", prompt));
}

TEST(CompletionRequest, TakesAText) {
  const Request request =
      Read(R"("a\nb")", R"(,"max_tokens":4,"echo":true,"suffix":"x","best_of":3)");
  ASSERT_EQ(request.prompts.size(), 1u);
  EXPECT_EQ(request.prompts[0].text, "a\nb");
  EXPECT_EQ(request.prompts[0].echo, "a\nb");
  EXPECT_TRUE(request.prompts[0].ids.empty());
  EXPECT_EQ(request.sampling.max_tokens, 4);
  EXPECT_EQ(request.n, 1u);
}

TEST(CompletionRequest, TakesSeveralTexts) {
  const Request request = Read(R"(["a","","c"])");
  ASSERT_EQ(request.prompts.size(), 3u);
  EXPECT_EQ(request.prompts[0].text, "a");
  EXPECT_EQ(request.prompts[1].text, "");
  EXPECT_EQ(request.prompts[2].echo, "c");
}

TEST(CompletionRequest, TakesIds) {
  const Request request = Read("[1, 2.0, 4294967295]");
  ASSERT_EQ(request.prompts.size(), 1u);
  EXPECT_EQ(request.prompts[0].ids, (std::vector<uint32_t>{1, 2, 4294967295u}));
  EXPECT_EQ(request.prompts[0].echo, "1,2,4294967295");
  EXPECT_EQ(request.prompts[0].text, "");
}

TEST(CompletionRequest, TakesSeveralListsOfIds) {
  const Request request = Read("[[1,2],[3]]");
  ASSERT_EQ(request.prompts.size(), 2u);
  EXPECT_EQ(request.prompts[0].ids, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(request.prompts[1].ids, (std::vector<uint32_t>{3}));
  EXPECT_EQ(request.prompts[1].echo, "3");
}

TEST(CompletionRequest, RefusesOtherPrompts) {
  EXPECT_EQ(Refusal("{}"), "prompt: prompt is missing");
  EXPECT_EQ(PromptRefusal("null"), "prompt: prompt is missing");
  EXPECT_EQ(PromptRefusal("[]"), "prompt: prompt must not hold an empty list");
  EXPECT_EQ(PromptRefusal("[[1],[]]"), "prompt: prompt must not hold an empty list");
  EXPECT_EQ(PromptRefusal("[-1]"), "prompt: prompt holds a number that is no token id");
  EXPECT_EQ(PromptRefusal("[1.5]"), "prompt: prompt holds a number that is no token id");
  EXPECT_EQ(PromptRefusal("[4294967296]"), "prompt: prompt holds a number that is no token id");
  for (const std::string_view prompt : {"1", "true", "{}", "[true]", "[null]", R"(["a",1])",
                                        R"([1,"a"])", R"([[1],"a"])", R"([[1],1])", "[[[1]]]"}) {
    EXPECT_EQ(PromptRefusal(prompt).substr(0, 27), "prompt: prompt must be a st") << prompt;
  }
}

TEST(CompletionRequest, TellsNoLogprobsWhenNoneAreAskedFor) {
  EXPECT_EQ(Read("\"a\"").sampling.logprobs, std::nullopt);
  EXPECT_EQ(Read("\"a\"", R"(,"logprobs":0)").sampling.logprobs, std::nullopt);
  EXPECT_EQ(Read("\"a\"", R"(,"logprobs":2)").sampling.logprobs, 2u);
  EXPECT_EQ(Refusal(R"({"prompt":"a","logprobs":true})"),
            "logprobs: logprobs must be a whole number");
  EXPECT_EQ(Refusal(R"({"prompt":"a","logprobs":-1})"),
            "logprobs: logprobs must be at least 0, got -1");
}

}  // namespace
}  // namespace headrace::sim
