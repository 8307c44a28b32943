#include "sim/sim_metrics.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/wait_rig.h"

namespace headrace::sim {
namespace {

constexpr const char* kModel = "{model_name=\"m\"}";

SimMetrics::Options OptionsOf() {
  return {.model = "m",
          .max_model_len = 1024,
          .max_loras = 2,
          .block_tokens = 16,
          .blocks = 512,
          .unix_s = 1000};
}

// The value of one series as text; "" when it is not shown.
std::string Value(SimMetrics* metrics, const std::string& series) {
  const std::string text = "\n" + metrics->Scrape();
  const size_t at = text.find("\n" + series + " ");
  if (at == std::string::npos) return "";
  const size_t begin = at + series.size() + 2;
  return text.substr(begin, text.find('\n', begin) - begin);
}
std::string OfModel(SimMetrics* metrics, const std::string& name) {
  return Value(metrics, name + kModel);
}
std::string Bucket(SimMetrics* metrics, const std::string& name, const std::string& bound) {
  return Value(metrics, name + "_bucket{model_name=\"m\",le=\"" + bound + "\"}");
}
// The bounds of a histogram, as they are shown.
std::vector<std::string> Bounds(SimMetrics* metrics, const std::string& name) {
  const std::string text = metrics->Scrape();
  const std::string begin = "\n" + name + "_bucket{model_name=\"m\",le=\"";
  std::vector<std::string> bounds;
  for (size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at + 1)) {
    const size_t value = at + begin.size();
    bounds.push_back(text.substr(value, text.find('"', value) - value));
  }
  return bounds;
}

TEST(SimMetrics, ShowsHowManyRunAndWait) {
  SimMetrics metrics(OptionsOf());
  metrics.Waiting(3);
  metrics.Waiting(-1);
  metrics.Running(1);
  metrics.CacheUsed(0.25);
  EXPECT_EQ(OfModel(&metrics, "vllm:num_requests_waiting"), "2");
  EXPECT_EQ(OfModel(&metrics, "vllm:num_requests_running"), "1");
  EXPECT_EQ(OfModel(&metrics, "vllm:kv_cache_usage_perc"), "0.25");
  EXPECT_EQ(Value(&metrics, "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"512\"}"),
            "1");
}

TEST(SimMetrics, HasTheBucketsOfVllm) {
  SimMetrics metrics(OptionsOf());
  using Names = std::vector<std::string>;
  const Names token = {"0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2",
                       "0.3",  "0.4",   "0.5",  "0.75",  "1",   "2.5",  "5",
                       "7.5",  "10",    "20",   "40",    "80",  "+Inf"};
  const Names request = {"0.3", "0.5", "0.8", "1",    "1.5",  "2",   "2.5", "5",
                         "10",  "15",  "20",  "30",   "40",   "50",  "60",  "120",
                         "240", "480", "960", "1920", "7680", "+Inf"};
  const Names count = {"1", "2", "5", "10", "20", "50", "100", "200", "500", "1000", "+Inf"};
  EXPECT_EQ(Bounds(&metrics, "vllm:time_to_first_token_seconds"),
            (Names{"0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1",
                   "0.25",  "0.5",   "0.75", "1",    "2.5",  "5",    "7.5",  "10",
                   "20",    "40",    "80",   "160",  "640",  "2560", "+Inf"}));
  for (const char* name :
       {"time_per_output_token", "inter_token_latency", "request_time_per_output_token"}) {
    EXPECT_EQ(Bounds(&metrics, "vllm:" + std::string(name) + "_seconds"), token) << name;
  }
  for (const char* name : {"e2e_request_latency", "request_queue_time", "request_inference_time",
                           "request_prefill_time", "request_decode_time"}) {
    EXPECT_EQ(Bounds(&metrics, "vllm:" + std::string(name) + "_seconds"), request) << name;
  }
  for (const char* name : {"request_prompt_tokens", "request_generation_tokens",
                           "request_params_max_tokens", "max_num_generation_tokens"}) {
    EXPECT_EQ(Bounds(&metrics, "vllm:" + std::string(name)), count) << name;
  }
}

TEST(SimMetrics, ShowsMeasuredTimesByVllmsNamesAndPlannedOnesBeside) {
  SimMetrics metrics(OptionsOf());
  metrics.FirstToken(milliseconds(200), milliseconds(250));
  metrics.NextToken(milliseconds(20), milliseconds(24));
  metrics.NextToken(milliseconds(20), milliseconds(26));
  EXPECT_EQ(OfModel(&metrics, "vllm:time_to_first_token_seconds_sum"), "0.25");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "0.1"), "0");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "0.25"), "1");
  EXPECT_EQ(OfModel(&metrics, "vllm:inter_token_latency_seconds_sum"), "0.05");
  EXPECT_EQ(OfModel(&metrics, "vllm:time_per_output_token_seconds_count"), "2");
  EXPECT_EQ(OfModel(&metrics, "vllm:generation_tokens_total"), "3");
  EXPECT_EQ(Value(&metrics, "headrace_sim_planned_time_to_first_token_seconds_sum"), "0.2");
  EXPECT_EQ(Value(&metrics, "headrace_sim_planned_inter_token_latency_seconds_sum"), "0.04");
}

TEST(SimMetrics, CountsRequestsByTheirEnds) {
  SimMetrics metrics(OptionsOf());
  metrics.Prefilled(30);
  metrics.CacheAsked(30, 16);
  metrics.Finished({.reason = FinishReason::kLength,
                    .prompt_tokens = 30,
                    .generation_tokens = 12,
                    .max_generation_tokens = 9,
                    .max_tokens = 40,
                    .queued = milliseconds(500),
                    .prefill = milliseconds(1000),
                    .decode = milliseconds(2000),
                    .total = milliseconds(3500),
                    .planned_total = milliseconds(3000)});
  metrics.Finished({.max_generation_tokens = 1});
  metrics.Failed();
  metrics.Aborted();
  metrics.Aborted();
  const auto sum = [&](const std::string& name) {
    return OfModel(&metrics, "vllm:" + name + "_sum");
  };
  EXPECT_EQ(sum("request_queue_time_seconds"), "0.5");
  EXPECT_EQ(OfModel(&metrics, "vllm:request_queue_time_seconds_count"), "1");  // the other did not
  EXPECT_EQ(sum("request_prefill_time_seconds"), "1");
  EXPECT_EQ(sum("request_decode_time_seconds"), "2");
  EXPECT_EQ(sum("request_inference_time_seconds"), "3");
  EXPECT_EQ(sum("e2e_request_latency_seconds"), "3.5");
  EXPECT_EQ(sum("request_time_per_output_token_seconds"), "0.25");
  EXPECT_EQ(OfModel(&metrics, "vllm:request_time_per_output_token_seconds_count"), "1");
  EXPECT_EQ(sum("request_prompt_tokens"), "30");
  EXPECT_EQ(sum("request_generation_tokens"), "12");
  EXPECT_EQ(sum("max_num_generation_tokens"), "10");
  EXPECT_EQ(sum("request_params_max_tokens"), "40");
  EXPECT_EQ(OfModel(&metrics, "vllm:request_params_max_tokens_count"), "1");
  EXPECT_EQ(OfModel(&metrics, "vllm:prompt_tokens_total"), "30");
  EXPECT_EQ(OfModel(&metrics, "vllm:prefix_cache_queries_total"), "30");
  EXPECT_EQ(OfModel(&metrics, "vllm:prefix_cache_hits_total"), "16");
  const std::string success = "vllm:request_success_total{finish_reason=\"";
  EXPECT_EQ(Value(&metrics, success + "length\",model_name=\"m\"}"), "1");
  EXPECT_EQ(Value(&metrics, success + "stop\",model_name=\"m\"}"), "1");
  EXPECT_EQ(Value(&metrics, success + "cache_threshold\",model_name=\"m\"}"), "0");
  EXPECT_EQ(Value(&metrics, "headrace_sim_requests_total{outcome=\"success\"}"), "2");
  EXPECT_EQ(Value(&metrics, "headrace_sim_requests_total{outcome=\"failure\"}"), "1");
  EXPECT_EQ(Value(&metrics, "headrace_sim_requests_total{outcome=\"aborted\"}"), "2");
  EXPECT_EQ(Value(&metrics, "headrace_sim_planned_e2e_request_latency_seconds_sum"), "3");
}

TEST(SimMetrics, ShowsOnlyTheCurrentAdapters) {
  SimMetrics metrics(OptionsOf());
  const auto labels = [](const std::string& running, const std::string& waiting) {
    return "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"" + running +
           "\",waiting_lora_adapters=\"" + waiting + "\"}";
  };
  EXPECT_EQ(Value(&metrics, labels("", "")), "1000");
  const std::vector<std::string> two = {"a", "b"}, one = {"c"};
  metrics.Loras(two, one, 1001);
  EXPECT_EQ(Value(&metrics, labels("a,b", "c")), "1001");
  EXPECT_EQ(Value(&metrics, labels("", "")), "");
  metrics.Loras(one, {}, 1002);
  metrics.Loras(one, {}, 1003);
  EXPECT_EQ(Value(&metrics, labels("a,b", "c")), "");
  EXPECT_EQ(Value(&metrics, labels("c", "")), "1003");
}

TEST(SimMetrics, CountsGapsAndWrongBytes) {
  SimMetrics metrics(OptionsOf());
  metrics.EventGaps(2);
  metrics.EventGaps(5);
  metrics.WrongBytes(7);
  EXPECT_EQ(Value(&metrics, "headrace_sim_kv_event_gaps_total"), "5");
  EXPECT_EQ(Value(&metrics, "headrace_sim_wrong_bytes_total"), "7");
}

MetricValues SomeValues() {
  MetricValues values;
  values.gauges = {.running = 12, .waiting = 3, .kv_cache_usage = 0.5};
  values.loras = {{.running = "x", .waiting = "", .timestamp = 5},
                  {.running = "y", .waiting = "z", .timestamp = 6}};
  auto& first = values.buckets[static_cast<size_t>(MetricHistogram::kTimeToFirstToken)];
  first.assign(30, 0);
  first[0] = 10;
  first[7] = 2;
  first[22] = 3;
  first[29] = 1000;  // there is no such bucket
  values.request_success = {{"stop", 20}, {"of_theirs", 1}};
  values.prompt_tokens = 100;
  values.generation_tokens = 200;
  return values;
}

TEST(SimMetrics, ShowsMadeUpValuesInThePlaceOfReal) {
  SimMetrics metrics(OptionsOf());
  metrics.Running(1);
  metrics.FirstToken(milliseconds(1), milliseconds(1));
  metrics.SetFake(SomeValues());
  metrics.Running(1);
  metrics.FirstToken(milliseconds(1), milliseconds(1));
  metrics.Finished({.reason = FinishReason::kStop});
  EXPECT_EQ(OfModel(&metrics, "vllm:num_requests_running"), "12");
  EXPECT_EQ(OfModel(&metrics, "vllm:kv_cache_usage_perc"), "0.5");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "0.001"), "10");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "0.08"), "10");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "0.1"), "12");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "2560"), "12");
  EXPECT_EQ(Bucket(&metrics, "vllm:time_to_first_token_seconds", "+Inf"), "15");
  EXPECT_EQ(OfModel(&metrics, "vllm:e2e_request_latency_seconds_count"), "0");
  EXPECT_EQ(OfModel(&metrics, "vllm:generation_tokens_total"), "201");
  EXPECT_EQ(OfModel(&metrics, "vllm:prompt_tokens_total"), "100");
  const std::string success = "vllm:request_success_total{finish_reason=\"";
  EXPECT_EQ(Value(&metrics, success + "stop\",model_name=\"m\"}"), "21");
  EXPECT_EQ(Value(&metrics, success + "of_theirs\",model_name=\"m\"}"), "1");
  const std::string lora = "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"";
  EXPECT_EQ(Value(&metrics, lora + "x\",waiting_lora_adapters=\"\"}"), "5");
  EXPECT_EQ(Value(&metrics, lora + "y\",waiting_lora_adapters=\"z\"}"), "6");
  EXPECT_EQ(Value(&metrics, lora + "\",waiting_lora_adapters=\"\"}"), "");
  EXPECT_EQ(Value(&metrics, "headrace_sim_requests_total{outcome=\"success\"}"), "1");

  metrics.SetFakeGauges({.running = 1.5, .waiting = 0, .kv_cache_usage = 1});
  EXPECT_EQ(OfModel(&metrics, "vllm:num_requests_running"), "1.5");

  metrics.SetFake(std::nullopt);
  metrics.SetFakeGauges({.running = 77});
  EXPECT_EQ(OfModel(&metrics, "vllm:num_requests_running"), "2");
  EXPECT_EQ(OfModel(&metrics, "vllm:time_to_first_token_seconds_count"), "2");
  EXPECT_EQ(OfModel(&metrics, "vllm:generation_tokens_total"), "2");
  EXPECT_EQ(OfModel(&metrics, "vllm:e2e_request_latency_seconds_count"), "1");
  EXPECT_EQ(Value(&metrics, success + "of_theirs\",model_name=\"m\"}"), "");
}

TEST(SimMetrics, IsScrapedWhileThingsHappen) {
  SimMetrics metrics(OptionsOf());
  std::atomic<bool> done = false;
  std::atomic<int> scrapes = 0;
  std::thread reader([&] {
    while (!done.load()) {
      EXPECT_FALSE(metrics.Scrape().empty());
      ++scrapes;
    }
  });
  const std::vector<std::string> names = {"a"};
  int round = 0;
  EXPECT_TRUE(Eventually([&] {
    metrics.SetFake(round % 2 == 0 ? std::optional(SomeValues()) : std::nullopt);
    metrics.Loras(round % 3 == 0 ? std::span(names) : std::span<const std::string>(), {}, round);
    metrics.NextToken(milliseconds(1), milliseconds(1));
    ++round;
    return scrapes.load() > 20 && round > 20;
  }));
  done = true;
  reader.join();
  metrics.SetFake(std::nullopt);
  EXPECT_EQ(OfModel(&metrics, "vllm:generation_tokens_total"), std::to_string(round));
}

}  // namespace
}  // namespace headrace::sim
