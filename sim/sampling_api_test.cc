#include "sim/sampling_api.h"

#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

Request Read(std::string_view body, const RequestDefaults& defaults = {}) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  EXPECT_TRUE(root) << body;
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  Request request;
  ReadSampling(defaults, &fields, &request);
  EXPECT_FALSE(error) << body << ": " << (error ? error->message : "");
  request.prompts.resize(1);
  return request;
}

// "param: message" of fields that are refused.
std::string Refusal(std::string_view body) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  EXPECT_TRUE(root) << body;
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  Request request;
  ReadSampling({}, &fields, &request);
  EXPECT_TRUE(error) << body;
  return error ? error->param.value_or("?") + ": " + error->message : "";
}

std::string Wrong(const Request& request) {
  const auto error = CheckSampling(request);
  if (!error) return "";
  EXPECT_EQ(error->status, 400);
  return error->param.value_or("?") + ": " + error->message;
}

TEST(Sampling, IsReadWithAllItsFields) {
  const Request request = Read(
      R"({"model":"m","n":3,"max_tokens":7,"min_tokens":2,"ignore_eos":true,"stop":["a","b"],
          "stream":true,"stream_options":{"include_usage":true},"cache_hit_threshold":0.25,
          "kv_transfer_params":{"do_remote_decode":false,"do_remote_prefill":true,
          "remote_engine_id":"e",
          "remote_host":"h","remote_port":1234,"remote_block_ids":["x",2]}})");
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.n, 3u);
  EXPECT_EQ(request.sampling.max_tokens, 7);
  EXPECT_EQ(request.sampling.min_tokens, 2u);
  EXPECT_TRUE(request.sampling.ignore_eos);
  EXPECT_EQ(request.sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_EQ(request.cache_hit_threshold, 0.25);
  ASSERT_TRUE(request.kv_transfer);
  EXPECT_FALSE(request.kv_transfer->do_remote_decode);
  EXPECT_TRUE(request.kv_transfer->do_remote_prefill);
  EXPECT_EQ(request.kv_transfer->remote_engine_id, "e");
  EXPECT_EQ(request.kv_transfer->remote_host, "h");
  EXPECT_EQ(request.kv_transfer->remote_port, 1234);
  EXPECT_EQ(request.kv_transfer->remote_block_ids, R"(["x",2])");
  EXPECT_EQ(Wrong(request), "");
}

TEST(Sampling, TakesNullForAbsentAndIgnoresOtherFields) {
  const Request request = Read(
      R"({"model":null,"n":null,"max_tokens":null,"stop":null,"stream":null,"stream_options":null,
          "kv_transfer_params":null,"cache_hit_threshold":null,"ignore_eos":null,"min_tokens":null,
          "temperature":"hot","seed":1e300,"whatever":{}})",
      {.cache_hit_threshold = 0.5});
  EXPECT_EQ(request.n, 1u);
  EXPECT_FALSE(request.sampling.max_tokens);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.kv_transfer);
  EXPECT_EQ(request.cache_hit_threshold, 0.5);
  EXPECT_TRUE(request.sampling.stop.empty());
}

TEST(Sampling, TakesOneTextToStopAt) {
  EXPECT_EQ(Read(R"({"stop":"end"})").sampling.stop, std::vector<std::string>{"end"});
}

TEST(Sampling, NamesTheFieldOfAWrongType) {
  EXPECT_EQ(Refusal(R"({"model":1})"), "model: model must be a string");
  EXPECT_EQ(Refusal(R"({"n":"2"})"), "n: n must be a whole number");
  EXPECT_EQ(Refusal(R"({"max_tokens":1.5})"), "max_tokens: max_tokens must be a whole number");
  EXPECT_EQ(Refusal(R"({"max_tokens":1180591620717411303424})"),
            "max_tokens: max_tokens must be a whole number");
  EXPECT_EQ(Refusal(R"({"min_tokens":-1})"), "min_tokens: min_tokens must be at least 0, got -1");
  EXPECT_EQ(Refusal(R"({"ignore_eos":1})"), "ignore_eos: ignore_eos must be true or false");
  EXPECT_EQ(Refusal(R"({"stream":"true"})"), "stream: stream must be true or false");
  EXPECT_EQ(Refusal(R"({"stop":1})"), "stop: stop must be a string or a list of strings");
  EXPECT_EQ(Refusal(R"({"stop":["a",1]})"), "stop: stop must be a string or a list of strings");
  EXPECT_EQ(Refusal(R"({"stop":""})"), "stop: stop must not hold an empty string");
  EXPECT_EQ(Refusal(R"({"cache_hit_threshold":1.5})"),
            "cache_hit_threshold: cache_hit_threshold must be a number from 0 to 1");
  EXPECT_EQ(Refusal(R"({"kv_transfer_params":[]})"),
            "kv_transfer_params: kv_transfer_params must be an object");
  EXPECT_EQ(
      Refusal(R"({"kv_transfer_params":{"remote_port":"x"}})"),
      "kv_transfer_params.remote_port: kv_transfer_params.remote_port must be a whole number");
  EXPECT_EQ(Refusal(R"({"kv_transfer_params":{"remote_port":65536}})"),
            "kv_transfer_params.remote_port: remote_port must be at most 65535");
  EXPECT_EQ(Refusal(R"({"stream":true,"stream_options":{"include_usage":1}})"),
            "stream_options.include_usage: stream_options.include_usage must be true or false");
  EXPECT_EQ(Refusal(R"({"stream_options":{}})"),
            "stream_options: stream_options can only be set when stream is true");
}

TEST(Sampling, NamesTheFirstOfSeveralFields) {
  EXPECT_EQ(Refusal(R"({"n":"2","model":1,"stop":2})"), "model: model must be a string");
}

TEST(Sampling, RefusesChoicesThatCannotBe) {
  EXPECT_EQ(Wrong(Read(R"({"n":0})")), "n: n must be at least 1");
  EXPECT_EQ(Wrong(Read(R"({"n":-9223372036854775808})")), "n: n must be at least 1");
  EXPECT_EQ(Wrong(Read(R"({"n":16384})")), "");
  EXPECT_EQ(Wrong(Read(R"({"n":16385})")),
            "n: n times the prompts must be at most 16384, got 16385");
  Request many = Read(R"({"n":8193})");
  many.prompts.resize(2);
  EXPECT_EQ(Wrong(many), "n: n times the prompts must be at most 16384, got 16386");
}

TEST(Sampling, RefusesLengthsThatCannotBe) {
  EXPECT_EQ(Wrong(Read(R"({"max_tokens":0})")), "max_tokens: max_tokens must be at least 1, got 0");
  EXPECT_EQ(Wrong(Read(R"({"max_tokens":-5})")),
            "max_tokens: max_tokens must be at least 1, got -5");
  EXPECT_EQ(Wrong(Read(R"({"max_tokens":1})")), "");
  EXPECT_EQ(Wrong(Read(R"({"ignore_eos":true})")),
            "ignore_eos: ignore_eos needs max_tokens: nothing else ends the generation");
  EXPECT_EQ(Wrong(Read(R"({"max_tokens":3,"min_tokens":4})")),
            "min_tokens: min_tokens must be less than or equal to max_tokens=3, got 4");
  EXPECT_EQ(Wrong(Read(R"({"max_tokens":3,"min_tokens":3,"ignore_eos":true})")), "");
}

TEST(Sampling, RefusesToStreamAPrefill) {
  const std::string decode = R"("kv_transfer_params":{"do_remote_decode":true})";
  EXPECT_EQ(Wrong(Read("{\"stream\":true," + decode + "}")).substr(0, 8), "stream: ");
  EXPECT_EQ(Wrong(Read("{" + decode + "}")), "");
}

TEST(Sampling, RefusesTooManyAlternatives) {
  Request request = Read("{}");
  request.sampling.logprobs = kMaxLogprobs;
  EXPECT_EQ(Wrong(request), "");
  request.sampling.logprobs = kMaxLogprobs + 1;
  EXPECT_EQ(Wrong(request),
            "logprobs: Requested sample logprobs of 21, which is greater than max allowed: 20");
}

// The order of the checks is that of the program whose users come here.
TEST(Sampling, TellsTheFirstOfSeveralErrors) {
  EXPECT_EQ(Wrong(Read(R"({"n":0,"max_tokens":0})")).substr(0, 2), "n:");
  const std::string decode = R"("stream":true,"kv_transfer_params":{"do_remote_decode":true})";
  EXPECT_EQ(Wrong(Read("{\"max_tokens\":0," + decode + "}")).substr(0, 11), "max_tokens:");
  EXPECT_EQ(Wrong(Read("{\"ignore_eos\":true," + decode + "}")).substr(0, 7), "stream:");
}

}  // namespace
}  // namespace headrace::sim
