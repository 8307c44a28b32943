#include "sim/generate_api.h"

#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

GenerateRequest Read(std::string_view body) {
  auto request = ParseGenerate(body, {});
  EXPECT_TRUE(request) << body << " " << request.error().message;
  return request ? *std::move(request) : GenerateRequest{};
}

std::string Refusal(std::string_view body) {
  const auto request = ParseGenerate(body, {});
  EXPECT_FALSE(request) << body;
  if (request) return "";
  EXPECT_EQ(request.error().status, 400);
  return request.error().param.value_or("-");
}

TEST(GenerateRequest, IsReadWithItsFields) {
  const GenerateRequest read = Read(R"({"model":"m","request_id":"r","token_ids":[1,2,4294967295],
    "sampling_params":{"max_tokens":4,"min_tokens":2,"ignore_eos":true,"n":3,"stop":"x",
                       "logprobs":2},
    "stream":true,"stream_options":{"include_usage":true},"output_mode":"text",
    "features":{"mm_hashes":{"image":["h1","h2"],"audio":["h3"]},
                "mm_placeholders":{"image":[{"offset":0,"length":1}]}},
    "kv_transfer_params":{"do_remote_prefill":true}})");
  EXPECT_EQ(read.request.model, "m");
  const Prompt& prompt = read.request.prompts.at(0);
  EXPECT_EQ(prompt.ids, (std::vector<uint32_t>{1, 2, 4294967295}));
  EXPECT_EQ(prompt.text, "");
  EXPECT_EQ(prompt.echo, "1,2,4294967295");
  ASSERT_EQ(prompt.media.size(), 3u);
  EXPECT_EQ(prompt.media[2].hash, "h3");
  EXPECT_EQ(read.request.sampling.max_tokens, 4);
  EXPECT_EQ(read.request.sampling.min_tokens, 2u);
  EXPECT_TRUE(read.request.sampling.ignore_eos);
  EXPECT_EQ(read.request.sampling.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(read.request.sampling.logprobs, 2u);
  EXPECT_EQ(read.request.n, 3u);
  EXPECT_TRUE(read.request.stream);
  ASSERT_TRUE(read.request.kv_transfer);
  EXPECT_TRUE(read.request.kv_transfer->do_remote_prefill);
  EXPECT_EQ(read.echo.request_id, "r");
  EXPECT_EQ(read.echo.choices, 3u);
  EXPECT_TRUE(read.echo.include_usage);
  EXPECT_TRUE(read.echo.text);
  EXPECT_EQ(read.echo.logprobs, 2u);
}

TEST(GenerateRequest, NeedsOnlyTokensAndParameters) {
  const GenerateRequest read = Read(R"({"token_ids":[7],"sampling_params":{},"max_tokens":3})");
  EXPECT_FALSE(read.request.sampling.max_tokens);  // of the parameters only
  EXPECT_FALSE(read.echo.logprobs);
  EXPECT_FALSE(read.echo.text);
  EXPECT_EQ(read.echo.request_id, "");
}

TEST(GenerateRequest, NamesWhatIsWrong) {
  EXPECT_EQ(Refusal("7"), "-");
  EXPECT_EQ(Refusal(R"({"sampling_params":{}})"), "token_ids");
  EXPECT_EQ(Refusal(R"({"token_ids":[],"sampling_params":{}})"), "token_ids");
  EXPECT_EQ(Refusal(R"({"token_ids":[-1],"sampling_params":{}})"), "token_ids");
  EXPECT_EQ(Refusal(R"({"token_ids":[4294967296],"sampling_params":{}})"), "token_ids");
  EXPECT_EQ(Refusal(R"({"token_ids":["1"],"sampling_params":{}})"), "token_ids");
  EXPECT_EQ(Refusal(R"({"token_ids":[1]})"), "sampling_params");
  EXPECT_EQ(Refusal(R"({"token_ids":[1],"sampling_params":[]})"), "sampling_params");
  EXPECT_EQ(Refusal(R"({"token_ids":[1],"sampling_params":{"max_tokens":"a"}})"),
            "sampling_params.max_tokens");
  EXPECT_EQ(Refusal(R"({"token_ids":[1],"sampling_params":{},"output_mode":"b"})"), "output_mode");
  EXPECT_EQ(Refusal(R"({"token_ids":[1],"sampling_params":{},"features":{"mm_hashes":{"i":1}}})"),
            "features.mm_hashes");
  EXPECT_EQ(Refusal(R"({"token_ids":[1],"sampling_params":{},"features":{"mm_hashes":{"i":[1]}}})"),
            "features.mm_hashes");
}

}  // namespace
}  // namespace headrace::sim
