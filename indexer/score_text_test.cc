#include "indexer/score_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::indexer {
namespace {

using ::testing::ElementsAre;

// What one end writes the other reads.
ScoreCall There(const ScoreCall& call) {
  const auto body = ScoreQuestion(call);
  HR_CHECK(body.has_value());
  ApiError error;
  const auto read = ParseScoreCall(*body, Dialect::kHeadrace, {}, &error);
  EXPECT_TRUE(read) << *body << ": " << error.field << " " << error.message;
  return read ? *read : ScoreCall();
}

TEST(ScoreQuestion, IsReadBackAsItWasMeant) {
  ScoreCall call;
  call.model = "m\"\n";
  call.prompt = "pr\xc3\xb6mpt";
  EXPECT_EQ(There(call).prompt, call.prompt);
  EXPECT_EQ(There(call).model, call.model);
  EXPECT_FALSE(There(call).filter);
  call.input = ScoreCall::Input::kTokens;
  call.tokens = {0, UINT32_MAX};
  call.filter = true;
  call.pods = {"a", "b"};
  call.extras.lora = {"sql", "/x"};
  call.extras.mm = {{"id", 3, 20}};
  call.extras.salt = "s";
  const ScoreCall there = There(call);
  EXPECT_EQ(there.input, ScoreCall::Input::kTokens);
  EXPECT_EQ(there.tokens, call.tokens);
  EXPECT_TRUE(there.filter);
  EXPECT_EQ(there.pods, call.pods);
  EXPECT_EQ(there.extras.lora->name, "sql");
  EXPECT_EQ(there.extras.lora->path, "/x");
  ASSERT_EQ(there.extras.mm.size(), 1u);
  EXPECT_EQ(there.extras.mm[0].length, 20u);
  EXPECT_EQ(there.extras.salt, "s");
}

TEST(ScoreQuestion, CarriesAChat) {
  ScoreCall call;
  call.model = "m";
  call.input = ScoreCall::Input::kMessages;
  call.messages = R"([{"role":"user","content":"x"}])";
  call.tools = R"([{"b":1,"a":2}])";
  call.add_generation_prompt = false;
  call.continue_final_message = true;
  const ScoreCall there = There(call);
  EXPECT_EQ(there.messages, call.messages);
  EXPECT_EQ(there.tools, call.tools);
  EXPECT_FALSE(there.add_generation_prompt);
  EXPECT_TRUE(there.continue_final_message);
  call.messages = "[";
  EXPECT_EQ(ScoreQuestion(call).error().code, Errc::kInvalid);
}

TEST(ScoreAnswer, IsReadBackAsItWasWritten) {
  const ScoreAnswer answer{.model = "m",
                           .tokens = 81,
                           .blocks = 5,
                           .pods = {{"a", 4, 0.8, 4, false}, {"b", 1.5, 0.3, 2, true}}};
  const auto read = ParseScoreAnswer(ScoreBody(answer));
  ASSERT_TRUE(read);
  EXPECT_EQ(ScoreBody(*read), ScoreBody(answer));
}

TEST(ScoreAnswer, RefusesWhatIsNone) {
  for (const char* body :
       {"", "[]", "{}", R"({"model":"m","tokens":1,"blocks":1})",
        R"({"model":"m","tokens":-1,"blocks":1,"pods":[]})",
        R"({"model":"m","tokens":1,"blocks":1,"pods":[1]})",
        R"({"model":"m","tokens":1,"blocks":1,"pods":[{"pod":"a","score":"1"}]})"}) {
    EXPECT_FALSE(ParseScoreAnswer(body)) << body;
  }
}

TEST(MergeScores, TakesOfEachPodTheCertainOneElseTheMost) {
  const ScoreAnswer first{
      .model = "m",
      .tokens = 8,
      .blocks = 2,
      .pods = {{"a", 4, 1, 4, true}, {"b", 1, 0.25, 1, false}, {"c", 1, 0.25, 1, true}}};
  const ScoreAnswer second{
      .model = "m",
      .tokens = 8,
      .blocks = 2,
      .pods = {{"b", 2, 0.5, 2, false}, {"a", 3, 0.75, 3, false}, {"c", 2, 0.5, 2, true}}};
  const std::vector<ScoreAnswer> both{first, second};
  const ScoreAnswer merged = MergeScores(both);
  std::vector<std::pair<std::string, double>> scores;
  scores.reserve(merged.pods.size());
  for (const auto& pod : merged.pods) scores.emplace_back(pod.pod, pod.score);
  EXPECT_THAT(scores, ElementsAre(std::pair("a", 3.0), std::pair("b", 2.0), std::pair("c", 2.0)));
  EXPECT_EQ(merged.tokens, 8u);
}

TEST(ReplicaList, IsRead) {
  const auto list =
      ParseReplicaList(R"({"replicas":["a:1","b:2"],"replica":"a:1","shardBlocks":4,)"
                       R"("hash":{"algorithm":"xxh64","seed":"7","blockTokens":32}})");
  ASSERT_TRUE(list);
  EXPECT_THAT(list->addresses, ElementsAre("a:1", "b:2"));
  EXPECT_EQ(list->first_blocks, 4u);
  EXPECT_EQ(list->hash.algo, wire::HashAlgo::kXxh64);
  EXPECT_EQ(list->hash.seed, "7");
  EXPECT_EQ(list->hash.block_tokens, 32u);
  for (const char* hash : {"{}", R"({"algorithm":"x","seed":"","blockTokens":16})",
                           R"({"algorithm":"xxh64","seed":"","blockTokens":0})", "7"}) {
    EXPECT_FALSE(
        ParseReplicaList(R"({"replicas":[],"shardBlocks":4,"hash":)" + std::string(hash) + "}"));
  }
}

TEST(OtherReplicas, AreReadOrThereAreNone) {
  EXPECT_THAT(*ParseOtherReplicas(R"({"replica":{"addresses":["b:2"]}})"), ElementsAre("b:2"));
  for (const char* body : {"", "{}", R"({"replica":{}})", R"({"replica":{"addresses":[]}})",
                           R"({"replica":{"addresses":[1]}})"}) {
    EXPECT_FALSE(ParseOtherReplicas(body)) << body;
  }
}

TEST(ErrorText, NamesTheField) {
  EXPECT_EQ(ErrorText(ErrorBody({400, "pods[1]", "must be a text"})), "pods[1]: must be a text");
  EXPECT_EQ(ErrorText(ErrorBody({400, "", "no JSON"})), "no JSON");
  EXPECT_EQ(ErrorText("<html>"), "");
}

}  // namespace
}  // namespace headrace::indexer
