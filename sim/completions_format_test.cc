#include "sim/completions_format.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

const ReplyHead kHead{.id = "r1", .model = "m", .created_s = 123};

Request Choices(size_t prompts, uint32_t n) {
  Request request;
  request.prompts.resize(prompts);
  request.n = n;
  return request;
}

// One token for each piece.
Output Said(const std::vector<std::string>& pieces) {
  Output output;
  for (const std::string& piece : pieces) {
    output.text += piece;
    output.ids.push_back(static_cast<uint32_t>(output.ids.size()));
    output.ends.push_back(static_cast<uint32_t>(output.text.size()));
  }
  return output;
}

Json OneFrame(const std::string& frame) {
  EXPECT_TRUE(frame.starts_with("data: {") && frame.ends_with("}\n\n")) << frame;
  return Json::parse(frame.substr(6));
}

TEST(CompletionFormat, IsOneObjectWhenItIsNotStreamed) {
  const Output output = Said({"a", "b"});
  const auto format = MakeCompletionFormat(Choices(1, 1), kHead);
  format->SetOutput(0, &output);
  EXPECT_EQ(
      format->Whole({.prompt_tokens = 1, .completion_tokens = 2}, ""),
      R"({"id":"cmpl-r1-0","object":"text_completion","created":123,"model":"m","choices":)"
      R"([{"index":0,"text":"ab","logprobs":null,"finish_reason":"stop","stop_reason":null}],)"
      R"("usage":{"prompt_tokens":1,"total_tokens":3,"completion_tokens":2,)"
      R"("prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":null,)"
      R"("kv_transfer_params":null})");
}

TEST(CompletionFormat, StreamsTokensAndAReason) {
  Request request = Choices(1, 1);
  request.include_usage = true;
  const Output output = Said({"a"});
  const auto format = MakeCompletionFormat(request, kHead);
  format->SetOutput(0, &output);
  std::string out;
  format->First(0, &out);
  format->Token(0, 0, &out);
  format->Last(0, &out);
  format->End({.prompt_tokens = 1, .completion_tokens = 1}, &out);
  const std::string head =
      R"(data: {"id":"cmpl-r1-0","object":"text_completion","created":123,"model":"m","choices":[)";
  EXPECT_EQ(
      out,
      head + R"({"index":0,"text":"a","logprobs":null,"finish_reason":null}],"usage":null})" +
          "\n\n" + head +
          R"({"index":0,"text":"","logprobs":null,"finish_reason":"stop","stop_reason":null}],)"
          "\"usage\":null}\n\n" +
          head +
          R"(],"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1,)"
          R"("prompt_tokens_details":{"cached_tokens":0}}})"
          "\n\ndata: [DONE]\n\n");
}

TEST(CompletionFormat, NamesThePromptOfEachChunk) {
  const Output output = Said({"a"});
  const auto format = MakeCompletionFormat(Choices(2, 2), kHead);
  for (uint32_t choice = 0; choice < 4; ++choice) format->SetOutput(choice, &output);
  for (const uint32_t choice : {0, 3, 1, 2}) {
    std::string out;
    format->Token(choice, 0, &out);
    const Json frame = OneFrame(out);
    EXPECT_EQ(frame.at("id"), choice < 2 ? "cmpl-r1-0" : "cmpl-r1-1");
    EXPECT_EQ(frame.at("choices")[0].at("index"), choice);
  }
  const Json whole = Json::parse(format->Whole({}, ""));
  EXPECT_EQ(whole.at("choices").size(), 4u);
  EXPECT_EQ(whole.at("choices")[3].at("index"), 3);
}

TEST(CompletionFormat, TellsLogprobs) {
  Request request = Choices(1, 1);
  request.sampling.logprobs = 2;
  const Output output = Said({"\xc3", "\xa9", "bc", "d"});
  const auto format = MakeCompletionFormat(request, kHead);
  format->SetOutput(0, &output);
  const Json whole = Json::parse(format->Whole({}, "")).at("choices")[0].at("logprobs");
  EXPECT_EQ(whole, Json::parse(R"({"text_offset":[0,0,1,3],"token_logprobs":[-1.0,-1.1,-1.2,-1.0],
      "tokens":["","é","bc","d"],
      "top_logprobs":[{"":-1.0,"_1":-1.5},{"é":-1.1,"é_1":-1.6},{"bc":-1.2,"bc_1":-1.7},
                      {"d":-1.0,"d_1":-1.5}]})"));
  for (uint32_t token = 0; token < 4; ++token) {
    std::string out;
    format->Token(0, token, &out);
    const Json told = OneFrame(out).at("choices")[0].at("logprobs");
    for (const char* name : {"text_offset", "token_logprobs", "tokens", "top_logprobs"}) {
      EXPECT_EQ(told.at(name), Json::array({whole.at(name)[token]})) << name;
    }
  }
}

TEST(CompletionFormat, EscapesAnIdFromOutside) {
  const Output output = Said({});
  const auto format = MakeCompletionFormat(Choices(1, 1), {.id = "a\"b", .model = "m"});
  format->SetOutput(0, &output);
  EXPECT_EQ(Json::parse(format->Whole({}, "")).at("id"), "cmpl-a\"b-0");
}

}  // namespace
}  // namespace headrace::sim
