#include "indexer/config.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace headrace::indexer {
namespace {

IndexConfig Read(const std::string& text) {
  std::string message;
  auto config = ParseIndexConfig(text, &message);
  EXPECT_TRUE(config) << message;
  return config ? *config : IndexConfig{};
}

std::string Refusal(const std::string& text) {
  std::string message;
  EXPECT_FALSE(ParseIndexConfig(text, &message)) << text;
  return message;
}

TEST(IndexConfig, HasDefaultsForAnEmptyFile) {
  const IndexConfig config = Read("");
  EXPECT_EQ(config.hash.algo, wire::HashAlgo::kXxh64);
  EXPECT_EQ(config.hash.block_tokens, 16u);
  EXPECT_EQ(config.hash.seed, "");
  EXPECT_EQ(config.topic_filter, "kv@");
  EXPECT_EQ(config.memory_budget_bytes, 0u);
  EXPECT_TRUE(config.notes.empty());
}

// Every key that llm-d documents, with its default.
constexpr const char* kLlmd = R"(
tokenProcessorConfig: {blockSizeTokens: 16, blockSize: 64, hashSeed: "", hashAlgorithm: cbor-fnv}
kvBlockIndexConfig:
  inMemoryConfig: {size: 100000000, podCacheSize: 10}
  costAwareMemoryConfig: {size: 2GiB}
  enableMetrics: false
  metricsLoggingInterval: 60000000000
kvCacheBackendConfigs:
  - {name: gpu, weight: 1.0}
  - {name: cpu, weight: 0.8}
kvBlockScorerConfig:
  scoringStrategy: LongestPrefix
  backendConfigs: [{name: storage, weight: 0.5}]
prefixStoreConfig: {cacheSize: 500000, blockSize: 256}
tokenizersPoolConfig:
  modelName: m
  workersCount: 5
  minPrefixOverlapRatio: 0.8
  local:
    autoDiscoveryDir: /mnt/models
    autoDiscoveryTokenizerFileName: tokenizer.json
    modelTokenizerMap: {m: /models/m/tokenizer.json}
  uds:
    socketFile: /tmp/tokenizer/tokenizer-uds.socket
    useTCP: false
    modelTokenizerMap: {n: /models/n}
  hf: {enabled: true, huggingFaceToken: "", tokenizersCacheDir: ""}
kvEventsConfig:
  zmqEndpoint: tcp://*:5557
  topicFilter: kv@
  concurrency: 4
  engineType: vllm
  discoverPods: true
  podDiscoveryConfig:
    podLabelSelector: "a=true"
    podNamespace: ""
    socketPort: 5557
    replaySocketPort: 0
)";

TEST(IndexConfig, TakesEveryKeyOfLlmd) {
  const IndexConfig config = Read(kLlmd);
  EXPECT_EQ(config.hash.algo, wire::HashAlgo::kLlmdD);
  EXPECT_EQ(config.hash.block_tokens, 16u);  // blockSizeTokens wins over its old name
  EXPECT_EQ(config.memory_budget_bytes, 2ull << 30);
  ASSERT_EQ(config.weights.size(), 3u);
  EXPECT_EQ(config.weights[1].name, "cpu");
  EXPECT_EQ(config.weights[1].weight, 0.8);
  EXPECT_EQ(config.tokenizer_threads, 5u);
  ASSERT_EQ(config.models.size(), 2u);
  EXPECT_EQ(config.models[0].name, "m");
  EXPECT_EQ(config.models[0].tokenizer, "/models/m/tokenizer.json");
  EXPECT_EQ(config.models[1].name, "n");
  EXPECT_EQ(config.bind_endpoint, "tcp://*:5557");
}

TEST(IndexConfig, SaysAloudWhatChangesNothing) {
  const IndexConfig config = Read(kLlmd);
  for (const char* key : {"inMemoryConfig.podCacheSize: ", "prefixStoreConfig: ",
                          "kvEventsConfig.discoverPods: ", "tokenizersPoolConfig.hf: "}) {
    const bool said = std::any_of(config.notes.begin(), config.notes.end(),
                                  [&](const std::string& note) { return note.starts_with(key); });
    EXPECT_TRUE(said) << key;
  }
}

TEST(IndexConfig, TakesTheSchedulersNesting) {
  const IndexConfig config = Read(
      "indexerConfig:\n"
      "  tokenProcessorConfig: {blockSize: 64, hashSeed: \"42\"}\n"
      "  kvBlockIndexConfig: {costAwareMemoryConfig: {size: 1GiB}}\n");
  EXPECT_EQ(config.hash.block_tokens, 64u);
  EXPECT_EQ(config.hash.seed, "42");
  EXPECT_EQ(config.memory_budget_bytes, 1ull << 30);
}

TEST(IndexConfig, TakesModelsAndPods) {
  const IndexConfig config = Read(
      "models:\n"
      "  - {name: a, tokenizer: /models/a}\n"
      "  - {name: b}\n"
      "pods:\n"
      "  - {name: p, endpoint: \"tcp://10.0.0.1:5557\", replayEndpoint: \"tcp://10.0.0.1:5558\"}\n"
      "podsFile: /etc/pods\n"
      "discover: [\"10.0.0.1:8000\"]\n");
  ASSERT_EQ(config.models.size(), 2u);
  EXPECT_EQ(config.models[0].tokenizer, "/models/a");
  EXPECT_EQ(config.models[1].tokenizer, "");
  ASSERT_EQ(config.pods.size(), 1u);
  EXPECT_EQ(config.pods[0].endpoint, "tcp://10.0.0.1:5557");
  EXPECT_EQ(config.pods[0].replay_endpoint, "tcp://10.0.0.1:5558");
  EXPECT_EQ(config.pods_file, "/etc/pods");
  EXPECT_EQ(config.discover, std::vector<std::string>{"10.0.0.1:8000"});
}

TEST(IndexConfig, TakesARedis) {
  EXPECT_FALSE(Read("kvBlockIndexConfig: {inMemoryConfig: {size: 5}}").redis.has_value());
  const IndexConfig ours = Read(
      "kvBlockIndexConfig:\n"
      "  redisConfig: {address: \"rediss://10.0.0.1\", prefix: \"fleet-a:\", ttl: 10s,\n"
      "                passwordFile: /p, caFile: /ca, certFile: /c, keyFile: /k}\n");
  ASSERT_TRUE(ours.redis.has_value());
  EXPECT_EQ(ours.redis->section, "kvBlockIndexConfig.redisConfig");
  EXPECT_EQ(ours.redis->address, "rediss://10.0.0.1");
  EXPECT_EQ(ours.redis->prefix, "fleet-a:");
  EXPECT_EQ(ours.redis->ttl, seconds(10));
  EXPECT_FALSE(ours.redis->llmd_schema);
  EXPECT_EQ(ours.redis->password_file, "/p");
  EXPECT_EQ(ours.redis->ca_file, "/ca");
  EXPECT_EQ(ours.redis->cert_file, "/c");
  EXPECT_EQ(ours.redis->key_file, "/k");
  const IndexConfig theirs = Read(
      "indexerConfig:\n"
      "  kvBlockIndexConfig:\n"
      "    inMemoryConfig: {size: 5}\n"
      "    valkeyConfig: {backendType: valkey, enableRDMA: true, schema: llmd}\n");
  ASSERT_TRUE(theirs.redis.has_value());
  EXPECT_EQ(theirs.redis->address, "valkey://127.0.0.1:6379");
  EXPECT_TRUE(theirs.redis->llmd_schema);
  ASSERT_EQ(theirs.notes.size(), 2u);
  EXPECT_EQ(theirs.notes.back(), "enableRDMA: Redis is spoken to over TCP");
}

TEST(IndexConfig, TakesReplicas) {
  EXPECT_EQ(Read("").place.split(), nullptr);
  const std::string replicas = "replicas: [\"10.0.0.1:9091\", \"10.0.0.2:9091\"]\n";
  const IndexConfig whole = Read(replicas + "replica: 10.0.0.2:9091\n");
  EXPECT_EQ(whole.place.split(), nullptr);
  EXPECT_EQ(whole.place.self(), 1u);
  const IndexConfig split = Read(replicas + "replica: 10.0.0.2:9091\nshardBlocks: 6\n");
  ASSERT_NE(split.place.split(), nullptr);
  EXPECT_EQ(split.place.split()->first_blocks(), 6u);
  EXPECT_EQ(split.place.split()->name(0), "10.0.0.1:9091");
  EXPECT_EQ(split.place.self(), 1u);
}

TEST(IndexConfig, RefusesUnknownKeysByName) {
  EXPECT_EQ(Refusal("kvEventsConfig: {zmqEndpont: x}"),
            "kvEventsConfig.zmqEndpont: is no key here; the keys are zmqEndpoint, topicFilter, "
            "concurrency, engineType, discoverPods, podDiscoveryConfig");
  EXPECT_EQ(Refusal("nothing: 1").find("nothing: is no key here; the keys are kvBlockIndexConfig"),
            0u);
  EXPECT_EQ(Refusal("pods: [{name: a, endpoint: b}, {name: c, endpoint: d, port: 1}]")
                .find("pods[1].port: is no key here"),
            0u);
}

TEST(IndexConfig, RefusalNamesTheKeyAndWhatWouldBeRight) {
  const std::pair<const char*, const char*> kCases[] = {
      {"- a", "the file: must be \"key: value\" lines"},
      {"a: [", "line 1: is not YAML: end of sequence flow not found"},
      {"kvEventsConfig: 3", "kvEventsConfig: must be \"key: value\" lines"},
      {"tokenProcessorConfig: {blockSizeTokens: -1}",
       "tokenProcessorConfig.blockSizeTokens: \"-1\" is not a whole number from 0 to 65536"},
      {"tokenProcessorConfig: {blockSizeTokens: [16]}",
       "tokenProcessorConfig.blockSizeTokens: must be a whole number"},
      {"tokenProcessorConfig: {hashAlgorithm: sha256}",
       "tokenProcessorConfig.hashAlgorithm: \"sha256\" is not xxh64 or llmd-d (cbor-fnv), which "
       "request keys can be made with; engines may use any"},
      {"kvBlockIndexConfig: {costAwareMemoryConfig: {size: much}}",
       "kvBlockIndexConfig.costAwareMemoryConfig.size: \"much\" is not a size; write for example "
       "2GiB"},
      {"kvBlockIndexConfig: {metricsLoggingInterval: soon}",
       "kvBlockIndexConfig.metricsLoggingInterval: \"soon\" is not a duration; write for example "
       "5s, or nanoseconds"},
      {"kvCacheBackendConfigs: [{name: gpu, weight: -1}]",
       "kvCacheBackendConfigs[0].weight: \"-1\" is not a number of 0 or more"},
      {"kvCacheBackendConfigs: [{weight: 1}]",
       "kvCacheBackendConfigs[0].name: is missing: gpu, cpu, disk, remote or another tier"},
      {"kvCacheBackendConfigs: {gpu: 1}", "kvCacheBackendConfigs: must be a list"},
      {"kvBlockScorerConfig: {scoringStrategy: Best}",
       "kvBlockScorerConfig.scoringStrategy: \"Best\" is not LongestPrefix"},
      {"kvEventsConfig: {engineType: trt}",
       "kvEventsConfig.engineType: \"trt\" is not vllm or sglang"},
      {"kvEventsConfig: {discoverPods: maybe}",
       "kvEventsConfig.discoverPods: \"maybe\" is not true or false"},
      {"kvEventsConfig: {topicFilter: a, topicFilter: b}",
       "kvEventsConfig.topicFilter: stands twice; keep one"},
      {"models: [{name: a}, {name: a}]", "models: a stands twice; keep one"},
      {"models: [{tokenizer: a}]", "models[0].name: is missing: the model as requests name it"},
      {"pods: [{name: a}]", "pods[0].endpoint: is missing: write for example tcp://10.0.0.1:5557"},
      {"discover: x", "discover: must be a list of texts"},
      {"replicas: x", "replicas: must be a list of texts"},
      {"replicas: [\"a:1\"]", "replica: is missing: which of replicas this one is"},
      {"replicas: [\"a:1\", b]\nreplica: a:1",
       "replicas[1]: \"b\" is not HOST:PORT; write for example 10.0.0.1:9091"},
      {"replicas: [\"a:1\"]\nreplica: b:1", "replica: \"b:1\" does not stand in replicas"},
      {"replica: a:1", "replica: needs replicas, the list of all"},
      {"shardBlocks: 4", "shardBlocks: needs replicas, who share the index"},
      {"replicas: [\"a:1\"]\nreplica: a:1\nshardBlocks: 65",
       "shardBlocks: \"65\" is not a whole number from 0 to 64"},
      {"replicas: [\"a:1\", \"a:1\"]\nreplica: a:1", "replicas: an index replica is named twice"},
  };
  for (const auto& [text, refusal] : kCases) EXPECT_EQ(Refusal(text), refusal) << text;
}

TEST(IndexConfig, RefusesWhatRedisCannotBe) {
  const std::pair<const char*, const char*> kCases[] = {
      {"kvBlockIndexConfig: {redisConfig: {schema: old}}",
       "kvBlockIndexConfig.redisConfig.schema: \"old\" is not native or llmd"},
      {"kvBlockIndexConfig: {redisConfig: {schema: llmd, prefix: x}}",
       "kvBlockIndexConfig.redisConfig.prefix: llm-d's schema has none"},
      {"kvBlockIndexConfig: {redisConfig: {schema: llmd, ttl: 60s}}",
       "kvBlockIndexConfig.redisConfig.ttl: llm-d's schema has none"},
      {"kvBlockIndexConfig: {redisConfig: {ttl: 9s}}",
       "kvBlockIndexConfig.redisConfig.ttl: must be 10s or more, or 0: for ever"},
      {"kvBlockIndexConfig: {redisConfig: {backendType: memcached}}",
       "kvBlockIndexConfig.redisConfig.backendType: \"memcached\" is not redis or valkey"},
      {"kvBlockIndexConfig: {redisConfig: {certFile: a}}",
       "kvBlockIndexConfig.redisConfig.certFile: certFile and keyFile are needed together"},
      {"kvBlockIndexConfig: {redisConfig: {password: x}}",
       "kvBlockIndexConfig.redisConfig.password: is no key here; the keys are address, "
       "backendType, enableRDMA, schema, prefix, ttl, passwordFile, caFile, certFile, keyFile"},
      {"kvBlockIndexConfig: {redisConfig: {address: a}}\nreplicas: [\"a:1\", \"b:1\"]\n"
       "replica: a:1\nshardBlocks: 4",
       "replicas: an index in Redis is not split; keep one of the two"},
      {"kvBlockIndexConfig: {redisConfig: {address: a}, valkeyConfig: {address: a}}",
       "kvBlockIndexConfig.valkeyConfig: another Redis or Valkey is named already; keep one"},
      {"kvBlockIndexConfig: {redisConfig: {address: a}, costAwareMemoryConfig: {size: 1GiB}}",
       "kvBlockIndexConfig.costAwareMemoryConfig: a budget would drop what lies in Redis as well; "
       "keep one of the two"},
  };
  for (const auto& [text, refusal] : kCases) EXPECT_EQ(Refusal(text), refusal) << text;
}

TEST(IndexConfig, NamesTheFile) {
  std::string message;
  EXPECT_FALSE(ReadIndexConfig("/nowhere/index.yaml", &message));
  EXPECT_EQ(message, "cannot read /nowhere/index.yaml: No such file or directory");
}

}  // namespace
}  // namespace headrace::indexer
