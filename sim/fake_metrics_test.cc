#include "sim/fake_metrics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

constexpr uint32_t kModelLen = 1024;

FakeMetrics Parse(const std::string& text) {
  FakeMetrics metrics;
  EXPECT_EQ(ParseFakeMetrics(text, kModelLen, &metrics), "") << text;
  return metrics;
}

std::string Refusal(const std::string& text) {
  FakeMetrics metrics;
  metrics.running_requests.start = 77;
  const std::string fault = ParseFakeMetrics(text, kModelLen, &metrics);
  EXPECT_NE(fault, "") << text;
  EXPECT_EQ(metrics.running_requests.start, 77) << text;
  return fault;
}

FakeValue Function(const std::string& text) {
  return Parse("{\"running-requests\":\"" + text + "\"}").running_requests;
}

TEST(FakeMetrics, ReadsEveryKey) {
  const FakeMetrics metrics = Parse(R"({
    "running-requests": 16, "waiting-requests": "oscillate:0:5:1s", "kv-cache-usage": 0.3,
    "loras": [{"running":"a,b","waiting":"c","timestamp":1257894567},
              "{\"running\":\"a\",\"waiting\":\"\",\"timestamp\":1257894569.5}"],
    "ttft-buckets-values": [10, 20], "tpot-buckets-values": [0, 1],
    "e2erl-buckets-values": [2], "queue-time-buckets-values": [3],
    "inf-time-buckets-values": [4], "prefill-time-buckets-values": [5],
    "decode-time-buckets-values": [6], "request-prompt-tokens": [7],
    "request-generation-tokens": [8], "request-params-max-tokens": [9],
    "request-max-generation-tokens": [10], "request-success-total": {"stop": 20, "tool_calls": 1},
    "total-prompt-tokens": 100, "total-generation-tokens": 200,
    "prefix-cache-hits": 30, "prefix-cache-queries": 40})");
  EXPECT_EQ(metrics.running_requests.At(Duration(5)), 16);
  EXPECT_EQ(metrics.waiting_requests.shape, FakeValue::Shape::kOscillate);
  EXPECT_DOUBLE_EQ(metrics.kv_cache_usage.At(Duration(0)), 0.3);
  ASSERT_EQ(metrics.loras.size(), 2U);
  EXPECT_EQ(metrics.loras[0].running, "a,b");
  EXPECT_EQ(metrics.loras[0].waiting, "c");
  EXPECT_EQ(metrics.loras[1].running, "a");
  EXPECT_DOUBLE_EQ(metrics.loras[1].timestamp, 1257894569.5);
  EXPECT_EQ(metrics.time_to_first_token, (FakeBuckets{10, 20}));
  EXPECT_EQ(metrics.time_per_output_token, (FakeBuckets{0, 1}));
  EXPECT_EQ(metrics.e2e_latency, FakeBuckets{2});
  EXPECT_EQ(metrics.queue_time, FakeBuckets{3});
  EXPECT_EQ(metrics.inference_time, FakeBuckets{4});
  EXPECT_EQ(metrics.prefill_time, FakeBuckets{5});
  EXPECT_EQ(metrics.decode_time, FakeBuckets{6});
  EXPECT_EQ(metrics.prompt_tokens, FakeBuckets{7});
  EXPECT_EQ(metrics.generation_tokens, FakeBuckets{8});
  EXPECT_EQ(metrics.max_tokens, FakeBuckets{9});
  EXPECT_EQ(metrics.max_generation_tokens, FakeBuckets{10});
  EXPECT_EQ(metrics.success_total.at("stop"), 20U);
  EXPECT_EQ(metrics.prompt_tokens_total, 100U);
  EXPECT_EQ(metrics.generation_tokens_total, 200U);
  EXPECT_EQ(metrics.prefix_cache_hits, 30U);
  EXPECT_EQ(metrics.prefix_cache_queries, 40U);
}

TEST(FakeMetrics, OscillatesAroundTheMiddle) {
  const FakeValue value = Function("oscillate:0:10:4s");
  EXPECT_NEAR(value.At(seconds(0)), 5, 1e-9);
  EXPECT_NEAR(value.At(seconds(1)), 10, 1e-9);
  EXPECT_NEAR(value.At(seconds(3)), 0, 1e-9);
  EXPECT_NEAR(value.At(seconds(401)), 10, 1e-9);
}

TEST(FakeMetrics, StaysWithinItsBounds) {
  FakeValue value{FakeValue::Shape::kOscillate, 0.1, 0.7, Duration(1000)};
  for (int i = 0; i < 1000; ++i) {
    const double at = value.At(Duration(i));
    EXPECT_TRUE(at >= 0.1 && at <= 0.7) << i;
  }
}

TEST(FakeMetrics, RampsOnceOrAgainAndAgain) {
  const FakeValue once = Function("ramp:10:0:5s");
  EXPECT_NEAR(once.At(seconds(0)), 10, 1e-9);
  EXPECT_NEAR(once.At(milliseconds(2500)), 5, 1e-9);
  EXPECT_NEAR(once.At(seconds(5)), 0, 1e-9);
  EXPECT_NEAR(once.At(seconds(7)), 0, 1e-9);
  const FakeValue again = Function("rampreset:0:10:5s");
  EXPECT_NEAR(again.At(seconds(4)), 8, 1e-9);
  EXPECT_NEAR(again.At(seconds(5)), 0, 1e-9);
  EXPECT_NEAR(again.At(seconds(6)), 2, 1e-9);
}

TEST(FakeMetrics, JumpsAtHalfAPeriod) {
  const FakeValue value = Function("squarewave:2:8:1s");
  EXPECT_EQ(value.At(milliseconds(0)), 2);
  EXPECT_EQ(value.At(milliseconds(499)), 2);
  EXPECT_EQ(value.At(milliseconds(500)), 8);
  EXPECT_EQ(value.At(milliseconds(999)), 8);
  EXPECT_EQ(value.At(milliseconds(1000)), 2);
}

TEST(FakeMetrics, ShowsWholeRequests) {
  EXPECT_EQ(WholeAt(Function("ramp:0:10:4s"), seconds(3)), 7);
}

TEST(FakeMetrics, TakesANumberInQuotes) {
  EXPECT_EQ(Parse(R"({"kv-cache-usage":"0.25"})").kv_cache_usage.start, 0.25);
}

TEST(FakeMetrics, NamesTheKeyAndWhatWouldBeRight) {
  EXPECT_EQ(Refusal("{"), "is not JSON; write for example {\"running-requests\":3}");
  EXPECT_EQ(Refusal("[]"), "must be a JSON object of fake metrics");
  EXPECT_EQ(Refusal(R"({"runing":1})"), "runing: is no fake metric");
  EXPECT_EQ(Refusal(R"({"runing":null})"), "runing: is no fake metric");
  EXPECT_EQ(Refusal(R"({"running-requests":-1})"), "running-requests: must be 0 or more");
  EXPECT_EQ(Refusal(R"({"kv-cache-usage":-0.5})"), "kv-cache-usage: must be 0 or more");
  EXPECT_EQ(Refusal(R"({"running-requests":1e300})"),
            "running-requests: must be from 0 to 9007199254740992");
  EXPECT_EQ(Refusal(R"({"waiting-requests":"ramp:-1:2:1s"})"),
            "waiting-requests: must be 0 or more");
  EXPECT_EQ(Refusal(R"({"kv-cache-usage":1.5})"), "kv-cache-usage: must be from 0 to 1");
  EXPECT_EQ(Refusal(R"({"kv-cache-usage":"squarewave:0:2:1s"})"),
            "kv-cache-usage: must be from 0 to 1");
  EXPECT_EQ(Refusal(R"({"running-requests":true})"),
            "running-requests: must be a number, or a function such as \"ramp:0:10:5s\"");
  const std::string functions =
      "running-requests: must be a number or function:start:end:period, where function is one of "
      "oscillate, ramp, rampreset, squarewave";
  EXPECT_EQ(Refusal(R"({"running-requests":"sine:0:1:1s"})"), functions);
  EXPECT_EQ(Refusal(R"({"running-requests":"ramp:0:1"})"), functions);
  EXPECT_EQ(Refusal(R"({"running-requests":"ramp:a:1:1s"})"),
            "running-requests: start and end of a function must be numbers, as in ramp:0:10:5s");
  const std::string period =
      "running-requests: the period of a function must be a duration above 0, as in ramp:0:10:5s";
  EXPECT_EQ(Refusal(R"({"running-requests":"ramp:0:1:0"})"), period);
  EXPECT_EQ(Refusal(R"({"running-requests":"ramp:0:1:5"})"), period);
}

TEST(FakeMetrics, NamesWhatIsWrongWithCounts) {
  EXPECT_EQ(Refusal(R"({"ttft-buckets-values":[1,-2]})"),
            "ttft-buckets-values[1]: must be a whole number, 0 or more");
  EXPECT_EQ(Refusal(R"({"ttft-buckets-values":3})"),
            "ttft-buckets-values: must be a list of whole numbers, one a bucket");
  EXPECT_EQ(Refusal(R"({"total-prompt-tokens":1.5})"),
            "total-prompt-tokens: must be a whole number, 0 or more");
  EXPECT_EQ(Refusal(R"({"request-success-total":{"stopped":1}})"),
            "request-success-total: knows no finish reason \"stopped\"; write one of stop, length, "
            "tool_calls, remote_decode, cache_threshold");
  EXPECT_EQ(Refusal(R"({"request-success-total":{"stop":-1}})"),
            "request-success-total.stop: must be a whole number, 0 or more");
  EXPECT_EQ(Refusal(R"({"prefix-cache-hits":1})"),
            "prefix-cache-hits: is given together with prefix-cache-queries or not at all");
  EXPECT_EQ(Refusal(R"({"prefix-cache-hits":2,"prefix-cache-queries":1})"),
            "prefix-cache-hits: must not be above prefix-cache-queries");
}

TEST(FakeMetrics, NamesWhatIsWrongWithLoras) {
  EXPECT_EQ(Refusal(R"({"loras":{}})"), "loras: must be a list of objects");
  EXPECT_EQ(Refusal(R"({"loras":[{},3]})"),
            "loras[1]: must be an object of running, waiting and timestamp");
  EXPECT_EQ(Refusal(R"({"loras":["x"]})"), "loras[0]: is a text that holds no JSON object");
  EXPECT_EQ(Refusal(R"({"loras":["\"{}\""]})"), "loras[0]: is a text that holds no JSON object");
  EXPECT_EQ(Refusal(R"({"loras":[{"run":""}]})"),
            "loras[0].run: is unknown; write running, waiting and timestamp");
  EXPECT_EQ(Refusal(R"({"loras":[{"running":1}]})"),
            "loras[0].running: must be a text of names joined by commas");
  EXPECT_EQ(Refusal(R"({"loras":[{"timestamp":"now"}]})"),
            "loras[0].timestamp: must be seconds since 1970");
}

TEST(FakeMetrics, TakesAsManyCountsAsThereAreBuckets) {
  const std::pair<const char*, size_t> buckets[] = {
      {"ttft-buckets-values", 23},          {"tpot-buckets-values", 20},
      {"e2erl-buckets-values", 22},         {"queue-time-buckets-values", 22},
      {"inf-time-buckets-values", 22},      {"prefill-time-buckets-values", 22},
      {"decode-time-buckets-values", 22},   {"request-prompt-tokens", 11},
      {"request-generation-tokens", 11},    {"request-params-max-tokens", 11},
      {"request-max-generation-tokens", 11}};
  for (const auto& [key, count] : buckets) {
    nlohmann::json json;
    json[key] = std::vector<int>(count, 1);
    Parse(json.dump());
    json[key] = std::vector<int>(count + 1, 1);
    EXPECT_EQ(Refusal(json.dump()), std::string(key) + ": has " + std::to_string(count + 1) +
                                        " values; the histogram has " + std::to_string(count) +
                                        " buckets");
  }
}

TEST(FakeMetrics, ChangesOnlyWhatAnUpdateNames) {
  FakeMetrics metrics = Parse(R"({"running-requests":3,"ttft-buckets-values":[1],
                                  "request-success-total":{"stop":2}})");
  EXPECT_EQ(UpdateFakeMetrics({{"kv-cache-usage", 0.5}, {"running-requests", nullptr}}, kModelLen,
                              &metrics),
            "");
  EXPECT_EQ(metrics.running_requests.start, 3);
  EXPECT_EQ(metrics.kv_cache_usage.start, 0.5);
  EXPECT_EQ(UpdateFakeMetrics({{"ttft-buckets-values", nlohmann::json::array()},
                               {"request-success-total", nlohmann::json::object()}},
                              kModelLen, &metrics),
            "");
  EXPECT_TRUE(metrics.time_to_first_token.empty());
  EXPECT_TRUE(metrics.success_total.empty());
  EXPECT_NE(
      UpdateFakeMetrics({{"running-requests", 9}, {"waiting-requests", -1}}, kModelLen, &metrics),
      "");
  EXPECT_EQ(metrics.running_requests.start, 3);
}

TEST(FakeMetrics, IsWrittenAsItIsRead) {
  const std::string text = R"({"running-requests":"rampreset:0:10:1500ms","waiting-requests":2.5,
    "loras":[{"running":"a","waiting":"","timestamp":5}],"ttft-buckets-values":[1,2],
    "request-success-total":{"stop":2},"prefix-cache-hits":1,"prefix-cache-queries":2})";
  const nlohmann::json json = FakeMetricsJson(Parse(text));
  EXPECT_EQ(json["running-requests"], "rampreset:0:10:1500ms");
  EXPECT_EQ(json["waiting-requests"], 2.5);
  EXPECT_FALSE(json.contains("total-prompt-tokens"));
  EXPECT_EQ(FakeMetricsJson(Parse(json.dump())), json);
}

}  // namespace
}  // namespace headrace::sim
