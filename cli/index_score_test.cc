#include "cli/index_score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

using indexer::ScoreCall;
using ::testing::ElementsAre;

struct Outcome {
  Result<ScoreCall> call = Fail(Errc::kInvalid, "");
  std::string message;
};

Outcome Read(std::vector<const char*> words) {
  words.insert(words.begin(), "score");
  CommandLine line;
  Outcome outcome;
  HR_CHECK(ParseCommandLine(static_cast<int>(words.size()), words.data(), ScoreFlags(), &line,
                            &outcome.message));
  outcome.call = ReadScoreCall(line, &outcome.message);
  return outcome;
}

TEST(IndexScore, ReadsEachKindOfInput) {
  const Outcome tokens = Read({"--model", "m", "--tokens", "[1, 2]", "--pods", "a,,b"});
  ASSERT_TRUE(tokens.call) << tokens.message;
  EXPECT_EQ(tokens.call->input, ScoreCall::Input::kTokens);
  EXPECT_THAT(tokens.call->tokens, ElementsAre(1, 2));
  EXPECT_TRUE(tokens.call->filter);
  EXPECT_THAT(tokens.call->pods, ElementsAre("a", "b"));
  const Outcome prompt = Read({"--model", "m", "--prompt", "", "--salt", "s", "--lora", "l"});
  ASSERT_TRUE(prompt.call) << prompt.message;
  EXPECT_EQ(prompt.call->input, ScoreCall::Input::kPrompt);
  EXPECT_FALSE(prompt.call->filter);
  EXPECT_EQ(prompt.call->extras.salt, "s");
  EXPECT_EQ(prompt.call->extras.lora->name, "l");
  const Outcome chat = Read({"--model", "m", "--messages", "[]"});
  ASSERT_TRUE(chat.call) << chat.message;
  EXPECT_EQ(chat.call->input, ScoreCall::Input::kMessages);
  EXPECT_EQ(chat.call->messages, "[]");
}

TEST(IndexScore, NamesTheFlagThatIsWrong) {
  EXPECT_EQ(Read({"--prompt", "x"}).message, "--model: is missing");
  const char* const one = "one of --prompt, --tokens and --messages is needed";
  EXPECT_EQ(Read({"--model", "m"}).message, one);
  EXPECT_EQ(Read({"--model", "m", "--prompt", "x", "--tokens", "1"}).message, one);
  EXPECT_EQ(Read({"--model", "m", "--prompt", "x", "--pods", ","}).message,
            "--pods: must name a pod");
  EXPECT_TRUE(Read({"--model", "m", "--tokens", "1,x"}).message.starts_with("--tokens: "));
}

TEST(IndexScore, PrintsATable) {
  indexer::ScoreAnswer answer{.model = "m", .tokens = 81, .blocks = 5, .pods = {}};
  EXPECT_EQ(ScoreTable(answer), "81 tokens, 5 blocks\nno pod holds anything of it\n");
  answer.pods = {{"pod-long", 4, 0.8, 4, false}, {"b", 1.25, 0.25, 2, true}};
  EXPECT_EQ(ScoreTable(answer),
            "81 tokens, 5 blocks\n"
            "POD          SCORE  NORMALIZED  BLOCKS\n"
            "pod-long      4.00       0.800       4\n"
            "b             1.25       0.250       2  uncertain\n");
}

}  // namespace
}  // namespace headrace::cli
