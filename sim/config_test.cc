#include "sim/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>

namespace headrace::sim {
namespace {

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/headrace_sim_config_test_XXXXXX";
    int fd = mkstemp(path);
    ASSERT_GE(fd, 0);
    ::close(fd);
    file_ = path;
  }
  void TearDown() override { ::unlink(file_.c_str()); }

  bool ParseBare(std::vector<const char*> flags) {
    flags.insert(flags.begin(), "headrace-sim");
    const auto look_up = [this](const char* name) {
      const auto it = variables_.find(name);
      return it == variables_.end() ? nullptr : it->second.c_str();
    };
    config_ = Config();
    message_.clear();
    const auto outcome =
        ParseConfig(static_cast<int>(flags.size()), flags.data(), look_up, &config_, &message_);
    return outcome && *outcome == OptionTable::Outcome::kRun;
  }
  // With a model.
  bool Parse(std::vector<const char*> flags) {
    flags.insert(flags.begin(), "--model=m");
    return ParseBare(std::move(flags));
  }
  bool ParseFile(const std::string& text, std::vector<const char*> flags = {}) {
    std::ofstream(file_) << text;
    flags.insert(flags.begin(), {"--config", file_.c_str()});
    return ParseBare(std::move(flags));
  }
  std::string Refusal(std::vector<const char*> flags) {
    EXPECT_FALSE(Parse(std::move(flags)));
    return message_;
  }
  std::string FileRefusal(const std::string& text) {
    EXPECT_FALSE(ParseFile("model: m\n" + text)) << text;
    return message_.substr(std::min(message_.size(), file_.size()));
  }
  void ExpectTaken(std::vector<const char*> flags) {
    EXPECT_TRUE(Parse(std::move(flags))) << message_;
  }

  std::string file_, message_;
  std::map<std::string, std::string> variables_;
  Config config_;
};

TEST_F(ConfigTest, HasTheDefaultsOfServing) {
  ASSERT_TRUE(Parse({})) << message_;
  const ServingOptions& serving = config_.serving;
  EXPECT_EQ(serving.hosts, std::vector<std::string>{"0.0.0.0"});
  EXPECT_EQ(serving.port, 8000U);
  EXPECT_FALSE(serving.tls());
  EXPECT_EQ(serving.max_body_bytes, 4U << 20);
  EXPECT_FALSE(serving.request_id_headers);
  EXPECT_FALSE(serving.log_http);
  EXPECT_EQ(serving.verbosity, 2U);
  EXPECT_EQ(serving.startup_duration.count(), 0);
  EXPECT_FALSE(serving.may_sleep());
  EXPECT_EQ(config_.model.name, "m");
  EXPECT_EQ(config_.model.served_names, std::vector<std::string>{"m"});
  EXPECT_EQ(config_.model.max_model_len, 1024U);
  EXPECT_EQ(config_.model.mode, Mode::kRandom);
  EXPECT_EQ(config_.model.tokenizer, "regex");
  EXPECT_EQ(config_.model.embedding_dimensions, 384U);
  EXPECT_FALSE(config_.model.mm_encoder_only);
  EXPECT_FALSE(config_.seed);
  EXPECT_EQ(config_.scheduler.kind, SchedulerKind::kSimple);
  EXPECT_EQ(config_.scheduler.max_running, 5U);
  EXPECT_EQ(config_.scheduler.max_waiting, 1000U);
  EXPECT_EQ(config_.scheduler.max_batched_tokens, 2048U);
  EXPECT_EQ(config_.ranks.size, 1U);
  EXPECT_FALSE(config_.ranks.own);
}

TEST_F(ConfigTest, HasTheDefaultsOfTheRest) {
  ASSERT_TRUE(Parse({})) << message_;
  EXPECT_EQ(config_.lora.max_running, 1U);
  EXPECT_EQ(config_.lora.max_registered, 1U);
  EXPECT_TRUE(config_.lora.adapters.empty());
  EXPECT_EQ(config_.latency.time_to_first_token.count(), 0);
  EXPECT_EQ(config_.latency.time_factor_under_load, 1.0);
  EXPECT_EQ(config_.latency.calculator, LatencyCalculator::kAuto);
  EXPECT_EQ(config_.tools.max_integer, 100);
  EXPECT_EQ(config_.tools.min_array_length, 1U);
  EXPECT_EQ(config_.tools.extra_call_percent, 45U);
  EXPECT_FALSE(config_.kv.enabled);
  EXPECT_EQ(config_.kv.blocks, 1024U);
  EXPECT_EQ(config_.kv.block_tokens, 16U);
  EXPECT_EQ(config_.kv.hash_seed, "");
  EXPECT_EQ(config_.kv.hash_algo, wire::HashAlgo::kLlmdD);
  EXPECT_EQ(config_.kv.hit_threshold, 0);
  EXPECT_EQ(config_.kv.headrace_endpoint, "");
  EXPECT_EQ(config_.kv.bytes_per_token, 2048U);
  EXPECT_EQ(config_.events.endpoint, "tcp://127.0.0.1:5557");
  EXPECT_FALSE(config_.events.bind);
  EXPECT_EQ(config_.events.topic, EventTopic::kPodPort);
  EXPECT_EQ(config_.events.batch_size, 16U);
  EXPECT_FALSE(config_.events.as_maps);
  EXPECT_EQ(config_.events.replay_endpoint, "");
  EXPECT_EQ(config_.events.replay_queue, 1024U);
  EXPECT_EQ(config_.failures.rate, 0U);
  EXPECT_TRUE(config_.failures.types.empty());
  EXPECT_FALSE(config_.fake_metrics);
  EXPECT_EQ(config_.fake_metrics_refresh, milliseconds(100));
  EXPECT_EQ(config_.dataset.source.path, "");
  EXPECT_EQ(config_.dataset.source.table, "llmd");
  EXPECT_FALSE(config_.dataset.source.in_memory);
  EXPECT_FALSE(config_.images.omni);
  EXPECT_EQ(config_.images.emission_rate, 0U);
}

TEST_F(ConfigTest, PrefersFlagThenEnvironmentThenFile) {
  variables_ = {{"SIM_MODEL", "env"}, {"PYTHONHASHSEED", "7"}};
  ASSERT_TRUE(ParseFile("model: file\nhash-seed: '5'\nport: 9000\n")) << message_;
  EXPECT_EQ(config_.model.name, "env");
  EXPECT_EQ(config_.kv.hash_seed, "7");
  EXPECT_EQ(config_.serving.port, 9000U);
  ASSERT_TRUE(ParseFile("model: file\nport: 9000\n",
                        {"--model", "flag", "--hash-seed", "9", "--port", "9001"}));
  EXPECT_EQ(config_.model.name, "flag");
  EXPECT_EQ(config_.kv.hash_seed, "9");
  EXPECT_EQ(config_.serving.port, 9001U);
  variables_ = {{"SIM_MODEL", ""}, {"HEADRACE_PORT", "9"}};
  ASSERT_TRUE(ParseFile("model: file\n"));
  EXPECT_EQ(config_.model.name, "file");
  EXPECT_EQ(config_.serving.port, 8000U);
}

TEST_F(ConfigTest, ReadsThePodFromTheEnvironment) {
  variables_ = {{"POD_NAME", "p"},
                {"POD_NAMESPACE", "n"},
                {"POD_IP", "10.0.0.1"},
                {"VLLM_SERVER_DEV_MODE", "1"}};
  ASSERT_TRUE(Parse({"--enable-sleep-mode"}));
  EXPECT_EQ(config_.pod.name, "p");
  EXPECT_EQ(config_.pod.name_space, "n");
  EXPECT_EQ(config_.pod.ip, "10.0.0.1");
  EXPECT_TRUE(config_.serving.may_sleep());
  ASSERT_TRUE(Parse({"--enable-sleep-mode", "--no-enable-sleep-mode"}));
  EXPECT_FALSE(config_.serving.may_sleep());
  variables_["VLLM_SERVER_DEV_MODE"] = "0";
  ASSERT_TRUE(Parse({"--enable-sleep-mode"}));
  EXPECT_FALSE(config_.serving.may_sleep());
}

TEST_F(ConfigTest, NeedsAModel) {
  EXPECT_FALSE(ParseBare({}));
  EXPECT_EQ(message_, "--model: is missing; write --model NAME or set SIM_MODEL");
  EXPECT_FALSE(ParseBare({"--model", ""}));
  EXPECT_EQ(message_, "--model: is missing; write --model NAME or set SIM_MODEL");
  EXPECT_EQ(Refusal({"--served-model-name", "a", ""}),
            "--served-model-name: a name must not be empty");
}

TEST_F(ConfigTest, TakesListsOnTheCommandLine) {
  ASSERT_TRUE(Parse({"--served-model-name", "a", "b,c", "--failure-types", "rate_limit",
                     "server_error", "--host", "::1", "[::]", "127.0.0.1"}))
      << message_;
  EXPECT_EQ(config_.model.served_names, (std::vector<std::string>{"a", "b,c"}));
  EXPECT_EQ(config_.failures.types,
            (std::vector<FailureType>{FailureType::kRateLimit, FailureType::kServerError}));
  EXPECT_EQ(config_.serving.hosts, (std::vector<std::string>{"::1", "::", "127.0.0.1"}));
  ASSERT_TRUE(ParseFile("model: m\nserved-model-name: [x, y]\n", {"--served-model-name"}));
  EXPECT_EQ(config_.model.served_names, std::vector<std::string>{"m"});
  ASSERT_TRUE(Parse({"--host=localhost"}));
  EXPECT_EQ(config_.serving.hosts, std::vector<std::string>{"127.0.0.1"});
}

TEST_F(ConfigTest, NamesWhatIsWrongWithServing) {
  EXPECT_EQ(Refusal({"--port", "0"}), "--port: 0 is out of range; write a number from 1 to 65535");
  EXPECT_EQ(Refusal({"--port", "65530", "--data-parallel-size", "8"}),
            "--port: 65530 leaves no room for the ports of 8 ranks below 65536");
  EXPECT_EQ(Refusal({"--host", "here"}),
            "--host: \"here\" is no address; write for example 0.0.0.0 or ::");
  EXPECT_EQ(Refusal({"--host"}), "--host: needs an address, for example 0.0.0.0 or ::");
  EXPECT_EQ(Refusal({"--ssl-certfile", "c"}), "--ssl-certfile: needs --ssl-keyfile");
  EXPECT_EQ(Refusal({"--ssl-keyfile", "k"}), "--ssl-keyfile: needs --ssl-certfile");
  EXPECT_EQ(Refusal({"--ssl-certfile=c", "--ssl-keyfile=k", "--self-signed-certs"}),
            "--self-signed-certs: contradicts --ssl-certfile; keep one");
  ExpectTaken({"--ssl-certfile=c", "--ssl-keyfile=k"});
  EXPECT_TRUE(config_.serving.tls());
  ExpectTaken({"--self-signed-certs"});
  EXPECT_TRUE(config_.serving.tls());
  EXPECT_EQ(Refusal({"--max-request-body-size-mb", "513"}),
            "--max-request-body-size-mb: 513 is out of range; write a number from 1 to 512");
  ExpectTaken({"--max-request-body-size-mb", "512"});
  EXPECT_EQ(config_.serving.max_body_bytes, 512U << 20);
  EXPECT_EQ(Refusal({"--default-embedding-dimensions", "0"}),
            "--default-embedding-dimensions: 0 is out of range; write a number from 1 to 1048576");
  EXPECT_EQ(Refusal({"--mode", "parrot"}),
            "--mode: \"parrot\" is not a choice; write one of random, echo");
  EXPECT_EQ(Refusal({"--tokenizer", ""}), "--tokenizer: write regex, byte or a path");
  EXPECT_EQ(Refusal({"--tokenizer", "byte", "--force-dummy-tokenizer"}),
            "--force-dummy-tokenizer: contradicts --tokenizer; keep one");
  EXPECT_TRUE(Refusal({"--seed", "x"}).starts_with("--seed: \"x\" is not a whole number; "));
  ExpectTaken({"--seed", "-3"});
  EXPECT_EQ(config_.seed, -3);
}

TEST_F(ConfigTest, NamesWhatIsWrongWithScheduling) {
  EXPECT_EQ(Refusal({"--max-num-seqs", "0"}),
            "--max-num-seqs: 0 is out of range; write a number from 1 to 1048576");
  EXPECT_EQ(Refusal({"--max-model-len", "0"}),
            "--max-model-len: 0 is out of range; write a number from 1 to 1073741824");
  EXPECT_EQ(Refusal({"--max-waiting-queue-length", "-1"}),
            "--max-waiting-queue-length: \"-1\" is not a whole number; write one from 0 to "
            "1073741824");
  ExpectTaken({"--max-waiting-queue-length", "0"});
  EXPECT_EQ(Refusal({"--scheduler", "best"}),
            "--scheduler: \"best\" is not a choice; write one of simple, continuous");
  ExpectTaken({"--scheduler", "continuous"});
  EXPECT_EQ(config_.scheduler.kind, SchedulerKind::kContinuous);
  EXPECT_EQ(Refusal({"--max-num-batched-tokens", "0"}),
            "--max-num-batched-tokens: 0 is out of range; write a number from 1 to 1073741824");
  for (const char* size : {"0", "9"}) {
    EXPECT_EQ(Refusal({"--data-parallel-size", size}),
              std::string("--data-parallel-size: ") + size +
                  " is out of range; write a number from 1 to 8");
  }
  EXPECT_EQ(Refusal({"--data-parallel-rank", "8"}),
            "--data-parallel-rank: 8 is out of range; write a number from -1 to 7");
  ExpectTaken({"--data-parallel-rank", "7", "--data-parallel-size", "4"});
  EXPECT_EQ(config_.ranks.own, 7U);
  EXPECT_EQ(config_.ranks.first(), 7U);
  EXPECT_EQ(config_.ranks.size, 1U);
}

TEST_F(ConfigTest, ReadsAdapters) {
  ASSERT_TRUE(Parse({"--max-loras=2", "--lora-modules", R"({"name":"a","path":"/x,y"})",
                     R"({"name":"b","base_model_name":"m"})"}))
      << message_;
  ASSERT_EQ(config_.lora.adapters.size(), 2U);
  EXPECT_EQ(config_.lora.adapters[0].path, "/x,y");
  EXPECT_EQ(config_.lora.adapters[1].name, "b");
  EXPECT_EQ(config_.lora.max_registered, 2U);
  ASSERT_TRUE(ParseFile("model: m\nlora-modules:\n- '{\"name\":\"a\"}'\n- {name: b, path: /p}\n"))
      << message_;
  ASSERT_EQ(config_.lora.adapters.size(), 2U);
  EXPECT_EQ(config_.lora.adapters[1].path, "/p");
  EXPECT_EQ(Refusal({"--lora-modules", "a=/p"}),
            "--lora-modules: \"a=/p\" is no JSON object; write for example "
            "{\"name\":\"a\",\"path\":\"/p\"}");
  EXPECT_EQ(Refusal({"--lora-modules", "{}"}), "--lora-modules: an adapter needs a name");
  EXPECT_EQ(Refusal({"--lora-modules", R"({"name":"a","rank":8})"}),
            "--lora-modules: \"rank\" of an adapter: its fields are the texts name, path and "
            "base_model_name");
  EXPECT_EQ(Refusal({"--lora-modules", R"({"name":"a","base_model_name":"n"})"}),
            "--lora-modules: base_model_name \"n\" of adapter \"a\" is not --model");
  EXPECT_EQ(Refusal({"--max-loras", "0"}),
            "--max-loras: 0 is out of range; write a number from 1 to 1048576");
  EXPECT_EQ(Refusal({"--max-loras", "3", "--max-cpu-loras", "2"}),
            "--max-cpu-loras: 2 is less than --max-loras, which is 3");
  EXPECT_EQ(Refusal({"--max-cpu-loras", "0"}),
            "--max-cpu-loras: 0 is less than --max-loras, which is 1");
}

TEST_F(ConfigTest, ReadsEveryLatency) {
  ASSERT_TRUE(
      Parse({"--time-to-first-token=1s", "--time-to-first-token-std-dev=300ms",
             "--inter-token-latency=500us", "--inter-token-latency-std-dev=1us",
             "--kv-cache-transfer-latency=1.5ms", "--kv-cache-transfer-latency-std-dev=2ns",
             "--prefill-overhead=3ms", "--prefill-time-per-token=4us", "--prefill-time-std-dev=5ms",
             "--kv-cache-transfer-time-per-token=6us", "--kv-cache-transfer-time-std-dev=7ms",
             "--time-factor-under-load=2.5", "--latency-calculator=per-token"}))
      << message_;
  const LatencyOptions& latency = config_.latency;
  EXPECT_EQ(latency.time_to_first_token, seconds(1));
  EXPECT_EQ(latency.time_to_first_token_std_dev, milliseconds(300));
  EXPECT_EQ(latency.inter_token_latency, microseconds(500));
  EXPECT_EQ(latency.inter_token_latency_std_dev, microseconds(1));
  EXPECT_EQ(latency.kv_cache_transfer_latency, microseconds(1500));
  EXPECT_EQ(latency.kv_cache_transfer_latency_std_dev, Duration(2));
  EXPECT_EQ(latency.prefill_overhead, milliseconds(3));
  EXPECT_EQ(latency.prefill_time_per_token, microseconds(4));
  EXPECT_EQ(latency.prefill_time_std_dev, milliseconds(5));
  EXPECT_EQ(latency.kv_cache_transfer_time_per_token, microseconds(6));
  EXPECT_EQ(latency.kv_cache_transfer_time_std_dev, milliseconds(7));
  EXPECT_EQ(latency.time_factor_under_load, 2.5);
  EXPECT_EQ(latency.calculator, LatencyCalculator::kPerToken);
}

TEST_F(ConfigTest, RefusesWideDeviations) {
  for (const std::string name : {"time-to-first-token", "inter-token-latency",
                                 "kv-cache-transfer-latency", "time-to-generate-image"}) {
    const std::string mean = "--" + name + "=1s", wide = "--" + name + "-std-dev=300000001ns";
    EXPECT_EQ(Refusal({mean.c_str(), wide.c_str()}),
              "--" + name + "-std-dev: 300000001ns is over 30 % of " + name + ", which is 1s");
    const std::string narrow = "--" + name + "-std-dev=300ms";
    ExpectTaken({mean.c_str(), narrow.c_str()});
  }
  EXPECT_EQ(FileRefusal("inter-token-latency-std-dev: 1ns\n"),
            ":2: inter-token-latency-std-dev: 1ns is over 30 % of inter-token-latency, which is 0");
}

TEST_F(ConfigTest, NamesWhatIsWrongWithLatencies) {
  const std::string wanted = "is not a duration; write for example 1.5s, 200ms or 1m30s";
  for (const std::string name :
       {"time-to-first-token", "time-to-first-token-std-dev", "inter-token-latency",
        "inter-token-latency-std-dev", "kv-cache-transfer-latency",
        "kv-cache-transfer-latency-std-dev", "prefill-overhead", "prefill-time-per-token",
        "prefill-time-std-dev", "kv-cache-transfer-time-per-token",
        "kv-cache-transfer-time-std-dev", "time-to-generate-image",
        "time-to-generate-image-std-dev", "startup-duration", "fake-metrics-refresh-interval",
        "render-timeout", "mm-render-timeout"}) {
    const std::string bare = "--" + name + "=200", negative = "--" + name + "=-1ms";
    EXPECT_EQ(Refusal({bare.c_str()}), "--" + name + ": \"200\" " + wanted);
    EXPECT_EQ(Refusal({negative.c_str()}),
              "--" + name + ": -1ms is negative; write a duration from 0 on");
  }
  EXPECT_EQ(Refusal({"--time-factor-under-load", "0.9"}),
            "--time-factor-under-load: \"0.9\" is out of range; write a number of at least 1");
  EXPECT_EQ(Refusal({"--latency-calculator", "best"}),
            "--latency-calculator: \"best\" is not a choice; write one of constant, per-token, "
            "\"\"");
  EXPECT_EQ(Refusal({"--fake-metrics-refresh-interval", "0"}),
            "--fake-metrics-refresh-interval: must be above 0, for example 100ms");
  EXPECT_EQ(FileRefusal("time-to-first-token: 200\n"),
            ":2: time-to-first-token: \"200\" " + wanted);
}

TEST_F(ConfigTest, NamesWhatIsWrongWithTools) {
  EXPECT_EQ(Refusal({"--max-tool-call-integer-param", "-1"}),
            "--max-tool-call-integer-param: is less than --min-tool-call-integer-param");
  EXPECT_EQ(Refusal({"--max-tool-call-number-param", "1.5", "--min-tool-call-number-param", "2"}),
            "--max-tool-call-number-param: is less than --min-tool-call-number-param");
  EXPECT_EQ(Refusal({"--max-tool-call-array-param-length", "0"}),
            "--max-tool-call-array-param-length: is less than --min-tool-call-array-param-length");
  EXPECT_EQ(Refusal({"--min-tool-call-array-param-length", "-1"}),
            "--min-tool-call-array-param-length: \"-1\" is not a whole number; write one from 0 to "
            "65536");
  for (const std::string name :
       {"tool-call-not-required-param-probability", "tool-call-extra-call-probability",
        "object-tool-call-not-required-field-probability", "failure-injection-rate",
        "image-emission-rate"}) {
    const std::string flag = "--" + name;
    EXPECT_EQ(Refusal({flag.c_str(), "101"}),
              flag + ": 101 is out of range; write a number from 0 to 100");
  }
  ExpectTaken({"--min-tool-call-integer-param", "-7", "--min-tool-call-number-param", "-0.5",
               "--skip-tool-validation"});
  EXPECT_EQ(config_.tools.min_integer, -7);
  EXPECT_EQ(config_.tools.min_number, -0.5);
  EXPECT_TRUE(config_.tools.skip_validation);
}

TEST_F(ConfigTest, NamesWhatIsWrongWithTheKvCache) {
  EXPECT_EQ(Refusal({"--enable-kvcache"}),
            "--enable-kvcache: needs the environment variable POD_IP: the address that events name "
            "the pod by; without events write --zmq-endpoint \"\"");
  ExpectTaken({"--enable-kvcache", "--zmq-endpoint="});
  variables_["POD_IP"] = "10.0.0.1";
  ExpectTaken({"--enable-kvcache", "--kv-cache-size", "0"});
  EXPECT_TRUE(config_.kv.enabled);
  for (const char* size : {"8", "16", "32", "64", "128"}) {
    ExpectTaken({"--block-size", size});
    EXPECT_EQ(std::to_string(config_.kv.block_tokens), size);
  }
  EXPECT_EQ(Refusal({"--block-size", "12"}),
            "--block-size: \"12\" is not a choice; write one of 8, 16, 32, 64, 128");
  EXPECT_EQ(Refusal({"--global-cache-hit-threshold", "1.1"}),
            "--global-cache-hit-threshold: \"1.1\" is not a share; write a number from 0 to 1, for "
            "example 0.9");
  EXPECT_EQ(Refusal({"--block-hash", "md5"}),
            "--block-hash: \"md5\" is not a choice; write one of " + wire::HashAlgoNames());
  EXPECT_TRUE(Refusal({"--block-hash", "xxhash"})
                  .starts_with("--block-hash: xxhash cannot be used without --hash-seed: "));
  ExpectTaken({"--block-hash", "xxhash", "--hash-seed", "0"});
  EXPECT_EQ(config_.kv.hash_algo, wire::HashAlgo::kXxhash);
  EXPECT_EQ(Refusal({"--kv-bytes-per-token", "0"}), "--kv-bytes-per-token: must be above 0");
  ExpectTaken({"--kv-bytes-per-token", "4kb"});
  EXPECT_EQ(config_.kv.bytes_per_token, 4096U);
  EXPECT_EQ(Refusal({"--headrace-endpoint", "ipc:///x"}),
            "--headrace-endpoint: needs --enable-kvcache");
}

TEST_F(ConfigTest, NamesWhatIsWrongWithEvents) {
  EXPECT_EQ(Refusal({"--zmq-endpoint", "5557"}),
            "--zmq-endpoint: \"5557\" is no endpoint; write for example tcp://127.0.0.1:5557");
  EXPECT_EQ(Refusal({"--zmq-endpoint", "tcp://h:65535", "--data-parallel-size=2"}),
            "--zmq-endpoint: 65535 leaves no room for the ports of 2 ranks below 65536");
  EXPECT_EQ(Refusal({"--zmq-endpoint", "tcp://*:5557"}),
            "--zmq-endpoint: \"*\" names no peer to dial; add --kv-events-bind");
  ExpectTaken({"--zmq-endpoint", "tcp://*:5557", "--kv-events-bind"});
  EXPECT_EQ(Refusal({"--kv-events-replay-endpoint", "x"}),
            "--kv-events-replay-endpoint: \"x\" is no endpoint; write for example "
            "tcp://127.0.0.1:5557");
  EXPECT_EQ(Refusal({"--kv-events-replay-endpoint", "tcp://*:5558", "--data-parallel-size=2"}),
            "--kv-events-replay-endpoint: its ports from 5558 on meet those of --zmq-endpoint from "
            "5557 on; each takes one for each of 2 ranks");
  ExpectTaken({"--kv-events-replay-endpoint", "tcp://*:5558"});
  ExpectTaken({"--kv-events-replay-endpoint", "tcp://*:5556"});
  ExpectTaken({"--zmq-endpoint=tcp://indexer:5557", "--kv-events-replay-endpoint=tcp://*:5557"});
  EXPECT_TRUE(Refusal({"--kv-events-replay-endpoint", "tcp://*:5557"}).ends_with("of 1 ranks"));
  EXPECT_EQ(Refusal({"--zmq-endpoint=ipc:///x", "--kv-events-replay-endpoint=ipc:///x"}),
            "--kv-events-replay-endpoint: is the endpoint of --zmq-endpoint, too");
  EXPECT_EQ(Refusal({"--event-batch-size", "0"}),
            "--event-batch-size: 0 is out of range; write a number from 1 to 65536");
  EXPECT_EQ(Refusal({"--kv-events-replay-queue-size", "0"}),
            "--kv-events-replay-queue-size: 0 is out of range; write a number from 1 to 16777216");
  EXPECT_EQ(Refusal({"--kv-events-topic", "x"}),
            "--kv-events-topic: \"x\" is not a choice; write one of pod-port, pod");
  ExpectTaken({"--kv-events-topic", "pod", "--kv-events-bind", "--use-vllm-map-event-format"});
  EXPECT_EQ(config_.events.topic, EventTopic::kPod);
  EXPECT_TRUE(config_.events.bind);
  EXPECT_TRUE(config_.events.as_maps);
}

TEST_F(ConfigTest, ReadsFailuresAndFakeMetrics) {
  EXPECT_EQ(Refusal({"--failure-types", "oops"}),
            "--failure-types: \"oops\" is not a choice; write one of " + FailureTypeNames());
  EXPECT_EQ(Refusal({"--fake-metrics", R"({"kv-cache-usage":2})"}),
            "--fake-metrics: kv-cache-usage: must be from 0 to 1");
  ExpectTaken({"--fake-metrics", R"({"running-requests":"oscillate:0:10:5s"})"});
  ASSERT_TRUE(config_.fake_metrics);
  EXPECT_EQ(config_.fake_metrics->running_requests.shape, FakeValue::Shape::kOscillate);
  ASSERT_TRUE(
      ParseFile("model: m\nfake-metrics:\n  running-requests: 16\n"
                "  waiting-requests: ramp:0:5:1s\n  kv-cache-usage: 0.3\n"
                "  request-success-total:\n    stop: 20\n  ttft-buckets-values: [1, 2]\n"
                "  loras:\n  - '{\"running\":\"a\",\"waiting\":\"\",\"timestamp\":5}'\n"))
      << message_;
  EXPECT_EQ(config_.fake_metrics->running_requests.start, 16);
  EXPECT_EQ(config_.fake_metrics->loras.at(0).running, "a");
  EXPECT_EQ(config_.fake_metrics->time_to_first_token, (FakeBuckets{1, 2}));
  ASSERT_TRUE(ParseFile("model: m\nfake-metrics: '{\"running-requests\":4}'\n"));
  EXPECT_EQ(config_.fake_metrics->running_requests.start, 4);
  EXPECT_EQ(FileRefusal("fake-metrics: {running-requests: -1}\n"),
            ":2: fake-metrics: running-requests: must be 0 or more");
}

TEST_F(ConfigTest, NamesWhatIsWrongWithTheDataset) {
  EXPECT_EQ(Refusal({"--dataset-url", "http://x"}),
            "--dataset-url: needs --dataset-path, where the file is put");
  EXPECT_EQ(Refusal({"--dataset-path", "d", "--mode", "echo"}),
            "--dataset-path: has no use with --mode echo; leave one out");
  EXPECT_EQ(Refusal({"--dataset-path", "d", "--dataset-table-name="}),
            "--dataset-table-name: must not be empty");
  ExpectTaken({"--dataset-path", "d", "--dataset-url", "http://x", "--dataset-in-memory"});
  EXPECT_TRUE(config_.dataset.source.in_memory);
}

TEST_F(ConfigTest, TakesWhatHasNoEffectHere) {
  ExpectTaken({"--mm-processor-kwargs",
               "{}",
               "--ec-transfer-config",
               "{}",
               "--enforce-eager",
               "--no-enforce-eager",
               "--enable-prefix-caching",
               "--no-enable-prefix-caching",
               "--tensor-parallel-size",
               "8",
               "--vmodule",
               "x=2",
               "--logtostderr",
               "--stderrthreshold",
               "2",
               "--render-url",
               "http://x",
               "--force-dummy-tokenizer",
               "--zmq-max-connect-attempts",
               "10",
               "--omni",
               "--no-omni",
               "--mm-encoder-only",
               "--no-mm-encoder-only",
               "-v=5"});
  EXPECT_EQ(config_.serving.verbosity, 5U);
  EXPECT_FALSE(config_.images.omni);
}

TEST_F(ConfigTest, KnowsTheSectionsOfLaterFiles) {
  ASSERT_TRUE(
      ParseFile("model: m\nlatencies:\n  inter-token-latency: 20ms\n"
                "kvcache:\n  block-size: 64\nlora:\n  max-loras: 3\n"
                "dataset:\n  dataset-path: d\nssl:\n  self-signed-certs: true\n"))
      << message_;
  EXPECT_EQ(config_.latency.inter_token_latency, milliseconds(20));
  EXPECT_EQ(config_.kv.block_tokens, 64U);
  EXPECT_EQ(config_.lora.max_running, 3U);
  EXPECT_EQ(config_.dataset.source.path, "d");
  EXPECT_TRUE(config_.serving.self_signed_certs);
}

TEST_F(ConfigTest, NamesTheNearestOfAnUnknownFlag) {
  EXPECT_EQ(Refusal({"--max-num-seq", "3"}),
            "--max-num-seq: unknown option; did you mean --max-num-seqs?");
  EXPECT_EQ(FileRefusal("max-num-seq: 3\n"),
            ":2: max-num-seq: unknown option; did you mean max-num-seqs?");
}

TEST_F(ConfigTest, HasAHelpInGroups) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(ParseBare({"--help"}));
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(message_, "");
  for (const char* part :
       {"headrace-sim ", "\nModel:\n", "\nServing:\n", "\nScheduling:\n", "\nLatencies:\n",
        "\nLoRA:\n", "\nKV cache:\n", "\nTools:\n", "\nFailures and fake metrics:\n", "SIM_MODEL",
        "PYTHONHASHSEED", "also --no-omni", "(default 0.0.0.0)", "(default 2kb)"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

}  // namespace
}  // namespace headrace::sim
