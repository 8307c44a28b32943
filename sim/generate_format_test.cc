#include "sim/generate_format.h"

#include <gtest/gtest.h>

#include "sim/reply_rig.h"

namespace headrace::sim {
namespace {

const ReplyHead kReply{.id = "1", .model = "m", .created_s = 7};
constexpr Usage kUsage{.prompt_tokens = 5, .completion_tokens = 2, .cached_tokens = 1};

std::string StreamOf(const GenerateEcho& echo, const std::vector<const Output*>& outputs) {
  const auto format = MakeGenerateFormat(kReply, echo);
  return sim::StreamOf(format.get(), outputs, kUsage);
}

// Golden: read by the classes of vLLM 0.32's own protocol.
TEST(GenerateFormat, StreamsATokenAFrame) {
  const Output output = OutputOf({"a", "b"}, FinishReason::kLength);
  EXPECT_EQ(StreamOf({.include_usage = true, .logprobs = 1}, {&output}),
            R"(data: {"request_id":"1","choices":[{"index":0,)"
            R"("logprobs":{"content":[{"token_id":0,"logprob":-1.0,"rank":1,)"
            R"("top_logprobs":[{"token_id":0,"logprob":-1.0,"rank":1}]}]},)"
            R"("finish_reason":null,"stop_reason":null,"token_ids":[0]}]})"
            "\n"
            "\n"
            R"(data: {"request_id":"1","choices":[{"index":0,)"
            R"("logprobs":{"content":[{"token_id":1,"logprob":-1.1,"rank":1,)"
            R"("top_logprobs":[{"token_id":1,"logprob":-1.1,"rank":1}]}]},)"
            R"("finish_reason":"length","stop_reason":null,"token_ids":[1]}]})"
            "\n"
            "\n"
            R"(data: {"request_id":"1","choices":[],"usage":{"prompt_tokens":5,)"
            R"("total_tokens":7,"completion_tokens":2,)"
            R"("prompt_tokens_details":{"cached_tokens":1}}})"
            "\n"
            "\n"
            R"(data: [DONE])"
            "\n"
            "\n");
}

TEST(GenerateFormat, TellsAllAtOnce) {
  const Output first = OutputOf({"a", "b"}, FinishReason::kLength);
  Output second = OutputOf({"c"});
  second.stop = "x";
  const auto format = MakeGenerateFormat(kReply, {.request_id = "mine", .choices = 2});
  format->SetOutput(0, &first);
  format->SetOutput(1, &second);
  EXPECT_EQ(format->Whole(kUsage, "{\"a\":1}"),
            R"({"request_id":"mine","model":"m","created":7,"choices":[)"
            R"({"index":0,"logprobs":null,"finish_reason":"length","stop_reason":null,)"
            R"("token_ids":[0,1]},)"
            R"({"index":1,"logprobs":null,"finish_reason":"stop","stop_reason":"x",)"
            R"("token_ids":[0]}],)"
            R"("usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2,)"
            R"("prompt_tokens_details":{"cached_tokens":1}},"prompt_logprobs":null,)"
            R"("kv_transfer_params":{"a":1},"ec_transfer_params":null})");
  EXPECT_NE(format->Whole(kUsage, "").find(R"("kv_transfer_params":null)"), std::string::npos);
}

TEST(GenerateFormat, EndsWithoutUsageWhereNoneIsAskedFor) {
  const Output output = OutputOf({"a"});
  const std::string stream = StreamOf(GenerateEcho{}, {&output});
  EXPECT_EQ(stream, R"(data: {"request_id":"1","choices":[{"index":0,"logprobs":null,)"
                    R"("finish_reason":"stop","stop_reason":null,"token_ids":[0]}]})"
                    "\n\ndata: [DONE]\n\n");
}

TEST(GenerateFormat, TellsTheEndOfAnOutputWithoutTokens) {
  const Output output = OutputOf({}, FinishReason::kCacheThreshold);
  const std::string stream = StreamOf(GenerateEcho{}, {&output});
  EXPECT_NE(stream.find(R"("finish_reason":"cache_threshold","stop_reason":null,"token_ids":[])"),
            stream.npos)
      << stream;
}

TEST(GenerateFormat, TellsTextBesideTheTokens) {
  const Output output = OutputOf({"a", "\xc3", "\xbc"});
  const GenerateEcho echo{.text = true, .logprobs = 0};
  const auto format = MakeGenerateFormat(kReply, echo);
  format->SetOutput(0, &output);
  const std::string body = format->Whole(kUsage, "");
  EXPECT_TRUE(body.starts_with(R"({"request_id":"1","output_mode":"text",)")) << body;
  EXPECT_NE(body.find("\"text\":\"a\xc3\xbc\""), body.npos) << body;
  EXPECT_NE(body.find(R"({"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]})"), body.npos)
      << body;
  // A frame never has a part of a character.
  const std::string stream = StreamOf(echo, {&output});
  EXPECT_NE(stream.find("\"text\":\"\""), stream.npos) << stream;
  EXPECT_NE(stream.find("\"text\":\"\xc3\xbc\""), stream.npos) << stream;
}

TEST(GenerateFormat, SaysWhyAStreamBroke) {
  const auto format = MakeGenerateFormat(kReply, {});
  std::string stream;
  format->Broken({503, "no"}, &stream);
  EXPECT_EQ(stream, R"(data: {"error":{"message":"no","type":"InternalServerError","param":null,)"
                    R"("code":503}})"
                    "\n\ndata: [DONE]\n\n");
}

}  // namespace
}  // namespace headrace::sim
