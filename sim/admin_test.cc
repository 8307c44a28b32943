#include "sim/admin.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

Config Base() {
  std::vector<const char*> flags = {"headrace-sim",
                                    "--model=m",
                                    "--failure-injection-rate=10",
                                    "--failure-types=rate_limit",
                                    "--time-to-first-token=1s",
                                    "--fake-metrics={\"running-requests\":3}"};
  Config config;
  std::string message;
  const auto outcome = ParseConfig(
      static_cast<int>(flags.size()), flags.data(),
      [](const char*) -> const char* { return nullptr; }, &config, &message);
  EXPECT_TRUE(outcome) << message;
  return config;
}

Config Updated(const std::string& body) {
  const auto next = UpdateConfig(Base(), body);
  EXPECT_TRUE(next) << (next ? "" : next.error().message);
  return next.value_or(Config{});
}

ApiError Refusal(const std::string& body) {
  const auto next = UpdateConfig(Base(), body);
  EXPECT_FALSE(next) << body;
  const ApiError error = next ? ApiError{} : next.error();
  EXPECT_EQ(error.status, 400) << body;
  return error;
}

TEST(Admin, ShowsEveryOptionOfTheTable) {
  const Json json = Json::parse(AdminConfigBody(Base()));
  // What is taken without effect is not shown, nor is what only main knows.
  const std::vector<std::string> hidden = {"config",
                                           "force-dummy-tokenizer",
                                           "render-url",
                                           "render-timeout",
                                           "mm-render-timeout",
                                           "tokenizers-cache-dir",
                                           "mm-processor-kwargs",
                                           "ec-transfer-config",
                                           "enforce-eager",
                                           "enable-prefix-caching",
                                           "tensor-parallel-size",
                                           "zmq-max-connect-attempts",
                                           "vmodule",
                                           "logtostderr",
                                           "alsologtostderr",
                                           "add_dir_header",
                                           "one_output",
                                           "skip_headers",
                                           "skip_log_headers",
                                           "log_dir",
                                           "log_file",
                                           "log_file_max_size",
                                           "log_backtrace_at",
                                           "stderrthreshold"};
  size_t shown = 0;
  for (const auto& option : Base().effective) {
    const bool is_hidden = std::find(hidden.begin(), hidden.end(), option.name) != hidden.end();
    EXPECT_EQ(json.contains(option.name), !is_hidden) << option.name;
    shown += is_hidden ? 0 : 1;
  }
  EXPECT_EQ(json.size(), shown);
}

TEST(Admin, ShowsValuesAsTheyAreGiven) {
  const Json json = Json::parse(AdminConfigBody(Base()));
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["served-model-name"], Json::array({"m"}));
  EXPECT_EQ(json["port"], 8000);
  EXPECT_EQ(json["seed"], nullptr);
  EXPECT_EQ(json["time-to-first-token"], "1s");
  EXPECT_EQ(json["inter-token-latency"], "0s");
  EXPECT_EQ(json["failure-types"], Json::array({"rate_limit"}));
  EXPECT_EQ(json["fake-metrics"]["running-requests"], 3.0);
  EXPECT_EQ(json["block-hash"], "llmd-d");
  EXPECT_EQ(json["data-parallel-rank"], -1);
  Config several = Base();
  several.ranks.size = 2;
  EXPECT_FALSE(Json::parse(AdminConfigBody(several)).contains("port"));
}

TEST(Admin, ShowsBytesThatAreNoText) {
  Config config = Base();
  config.model.name = "m\xff";
  EXPECT_EQ(Json::parse(AdminConfigBody(config))["model"], "m\xef\xbf\xbd");
}

TEST(Admin, ChangesFailures) {
  const Config next = Updated(R"({"failure-injection-rate":42,"failure-types":["server_error"]})");
  EXPECT_EQ(next.failures.rate, 42U);
  EXPECT_EQ(next.failures.types, std::vector<FailureType>{FailureType::kServerError});
  EXPECT_TRUE(Updated(R"({"failure-types":[]})").failures.types.empty());
  EXPECT_EQ(Updated("{}").failures.rate, 10U);
}

TEST(Admin, ChangesEveryLatency) {
  for (const char* key : {"time-to-first-token", "inter-token-latency", "kv-cache-transfer-latency",
                          "prefill-overhead", "prefill-time-per-token", "prefill-time-std-dev",
                          "kv-cache-transfer-time-per-token", "kv-cache-transfer-time-std-dev",
                          "time-to-generate-image"}) {
    const Config next = Updated(Json{{key, "1.5ms"}}.dump());
    EXPECT_EQ(Json::parse(AdminConfigBody(next))[key], "1500us") << key;
    const Config number = Updated(Json{{key, 2'000'000}}.dump());
    EXPECT_EQ(Json::parse(AdminConfigBody(number))[key], "2ms") << key;
    for (const Json& wrong : {Json(-1), Json("-1ms"), Json(1.5), Json("5"), Json(true)}) {
      EXPECT_EQ(Refusal(Json{{key, wrong}}.dump()).param, key) << key << wrong;
    }
  }
  const Config next = Updated(R"({"time-to-first-token-std-dev":"300ms",
    "inter-token-latency":"1s","inter-token-latency-std-dev":"300ms",
    "kv-cache-transfer-latency":"1s","kv-cache-transfer-latency-std-dev":"300ms",
    "time-to-generate-image":"1s","time-to-generate-image-std-dev":"300ms"})");
  EXPECT_EQ(next.latency.time_to_first_token_std_dev, milliseconds(300));
  EXPECT_EQ(next.latency.inter_token_latency_std_dev, milliseconds(300));
  EXPECT_EQ(next.latency.kv_cache_transfer_latency_std_dev, milliseconds(300));
  EXPECT_EQ(next.images.time_std_dev, milliseconds(300));
}

TEST(Admin, ChangesTheRestThatMayChange) {
  const Config next = Updated(
      R"({"latency-calculator":"constant","time-factor-under-load":2,"image-emission-rate":7})");
  EXPECT_EQ(next.latency.calculator, LatencyCalculator::kConstant);
  EXPECT_EQ(next.latency.time_factor_under_load, 2);
  EXPECT_EQ(next.images.emission_rate, 7U);
}

TEST(Admin, ChangesWhatIsNamedOfFakeMetrics) {
  const Config next = Updated(R"({"fake-metrics":{"kv-cache-usage":0.5}})");
  EXPECT_EQ(next.fake_metrics->kv_cache_usage.start, 0.5);
  EXPECT_EQ(next.fake_metrics->running_requests.start, 3);
  const auto direct = UpdateFakeMetricsOf(Base(), R"({"waiting-requests":4})");
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->fake_metrics->waiting_requests.start, 4);
  EXPECT_EQ(UpdateFakeMetricsOf(Base(), R"({"waiting":4})").error().param, "waiting");
  EXPECT_EQ(UpdateFakeMetricsOf(Base(), "4").error().message, "The body must be a JSON object.");
}

TEST(Admin, HasNoFakeMetricsToChangeWithoutThemAtTheStart) {
  Config config = Base();
  config.fake_metrics.reset();
  EXPECT_EQ(UpdateConfig(config, R"({"fake-metrics":{}})").error().message,
            "fake-metrics: can be changed only where --fake-metrics was given at the start");
  EXPECT_FALSE(UpdateFakeMetricsOf(config, "{}"));
}

TEST(Admin, NamesTheKeyThatIsWrong) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"model":"x"})", "model: cannot be changed while the simulator runs"},
      {R"({"failure-injection-rate":101})",
       "failure-injection-rate: must be a whole number from 0 to 100"},
      {R"({"failure-injection-rate":1.5})",
       "failure-injection-rate: must be a whole number from 0 to 100"},
      {R"({"failure-types":"rate_limit"})", "failure-types: must be a list of types of failures"},
      {R"({"failure-types":["x"]})",
       "failure-types: \"x\" is no type of failure; write some of rate_limit, invalid_api_key, "
       "context_length, server_error, invalid_request, model_not_found"},
      {R"({"time-factor-under-load":0.5})",
       "time-factor-under-load: must be a number of at least 1"},
      {R"({"time-factor-under-load":"2"})",
       "time-factor-under-load: must be a number of at least 1"},
      {R"({"latency-calculator":"x"})",
       "latency-calculator: must be \"\", \"constant\" or \"per-token\""},
      {R"({"image-emission-rate":-1})",
       "image-emission-rate: must be a whole number from 0 to 100"},
      {R"({"time-to-first-token":"1"})",
       "time-to-first-token: must be a duration such as \"250ms\", or nanoseconds as a whole "
       "number, 0 or more"},
      {R"({"time-to-first-token-std-dev":"301ms"})",
       "time-to-first-token-std-dev: 301ms is over 30 % of time-to-first-token, which is 1s"},
      {R"({"time-to-generate-image-std-dev":"1ms"})",
       "time-to-generate-image-std-dev: 1ms is over 30 % of time-to-generate-image, which is 0"},
      {R"({"fake-metrics":{"kv-cache-usage":2}})",
       "fake-metrics.kv-cache-usage: must be from 0 to 1"},
      {R"({"fake-metrics":3})", "fake-metrics: must be a JSON object of fake metrics"},
  };
  for (const auto& [body, message] : wrong) {
    const ApiError error = Refusal(body);
    EXPECT_EQ(error.message, message) << body;
    EXPECT_EQ(error.param, error.message.substr(0, error.message.find(':'))) << body;
  }
  for (const char* body : {"", "[]", "3", "{", "{\"a\":\xff}"}) {
    EXPECT_EQ(Refusal(body).message, "The body must be a JSON object.") << body;
  }
  EXPECT_EQ(Refusal(std::string(100, '[') + std::string(100, ']')).message,
            "The body must be a JSON object.");
}

TEST(Admin, ChangesNothingOfABodyThatIsPartlyWrong) {
  const Config before = Base();
  const std::string text = AdminConfigBody(before);
  EXPECT_FALSE(UpdateConfig(before, R"({"failure-injection-rate":42,"zzz":1})"));
  EXPECT_FALSE(UpdateConfig(before, R"({"fake-metrics":{"running-requests":9},"zzz":1})"));
  EXPECT_EQ(AdminConfigBody(before), text);
}

}  // namespace
}  // namespace headrace::sim
