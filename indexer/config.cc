#include "indexer/config.h"

#include <fmt/format.h>

#include <cstring>
#include <set>
#include <utility>

#include "base/file.h"
#include "indexer/yaml_section.h"

namespace headrace::indexer {
namespace {

constexpr uint32_t kMaxThreads = 256;
constexpr Duration kLeastTtl = seconds(10);

tl::unexpected<Error> Refuse(std::string text, std::string* message) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "the indexer's configuration is wrong");
}

// Reads the sections into one config. A member for each of llm-d's sections.
class ConfigReader {
 public:
  explicit ConfigReader(IndexConfig* config) : config_(config) {}

  void Root(YamlSection* root) {
    Common(root);
    root->Section("tokenProcessorConfig", [this](YamlSection* s) { TokenProcessor(s); });
    root->Section("kvEventsConfig", [this](YamlSection* s) { Events(s); });
    // llm-d's scheduler has the indexer's own part under this name.
    root->Section("indexerConfig", [this](YamlSection* s) {
      Common(s);
      s->Section("tokenProcessorConfig", [this](YamlSection* t) { TokenProcessor(t); });
    });
    root->Sections("models", [this](YamlSection* s) { Model(s); });
    root->Sections("pods", [this](YamlSection* s) { Pod(s); });
    root->Text("podsFile", &config_->pods_file);
    root->Texts("discover", &config_->discover);
    Replicas(root);
  }

 private:
  void Note(bool given, const char* key, const char* why) {
    if (given) config_->notes.push_back(fmt::format("{}: {}", key, why));
  }

  void Common(YamlSection* s) {
    s->Section("kvBlockIndexConfig", [this](YamlSection* t) { BlockIndex(t); });
    s->Sections("kvCacheBackendConfigs", [this](YamlSection* t) { Weight(t); });
    s->Section("kvBlockScorerConfig", [this](YamlSection* t) { Scorer(t); });
    s->Section("tokenizersPoolConfig", [this](YamlSection* t) { Tokenizers(t); });
    Note(s->Ignore("prefixStoreConfig"), "prefixStoreConfig",
         "the store of tokenized prefixes has its own bound");
  }

  void TokenProcessor(YamlSection* s) {
    uint32_t block = 0;
    s->Number("blockSize", &block, 0, wire::HasherOptions::kMaxBlockTokens);  // llm-d's old name
    uint32_t tokens = 0;
    s->Number("blockSizeTokens", &tokens, 0, wire::HasherOptions::kMaxBlockTokens);
    if (tokens == 0) tokens = block;
    if (tokens != 0) config_->hash.block_tokens = tokens;  // 0 is "not set", as llm-d has it
    std::string seed;
    if (s->Text("hashSeed", &seed)) config_->hash.seed = seed;
    std::string name;
    if (!s->Text("hashAlgorithm", &name)) return;
    // llm-d's names for two of ours.
    if (name == "cbor-fnv") name = "llmd-d";
    const auto algo = wire::ParseHashAlgo(name);
    if (algo != wire::HashAlgo::kXxh64 && algo != wire::HashAlgo::kLlmdD) {
      s->Refuse("hashAlgorithm",
                fmt::format("\"{}\" is not xxh64 or llmd-d (cbor-fnv), which request keys can be "
                            "made with; engines may use any",
                            name));
      return;
    }
    config_->hash.algo = *algo;
  }

  void BlockIndex(YamlSection* s) {
    s->Section("inMemoryConfig", [this](YamlSection* t) {
      uint64_t number = 0;
      Note(t->Number("size", &number), "inMemoryConfig.size",
           "blocks are not counted; costAwareMemoryConfig.size bounds their bytes");
      Note(t->Number("podCacheSize", &number), "inMemoryConfig.podCacheSize",
           "a block may have any number of holders");
    });
    s->Section("costAwareMemoryConfig", [this](YamlSection* t) {
      config_->memory_budget_bytes = 2ull << 30;
      t->Size("size", &config_->memory_budget_bytes);
    });
    Redis(s, "redisConfig", "redis://127.0.0.1:6379");
    Redis(s, "valkeyConfig", "valkey://127.0.0.1:6379");
    if (config_->redis && config_->memory_budget_bytes != 0) {
      s->Refuse("costAwareMemoryConfig",
                "a budget would drop what lies in Redis as well; keep one of the two");
    }
    bool flag = false;
    Note(s->Flag("enableMetrics", &flag), "enableMetrics", "metrics are always there");
    Duration interval{};
    Note(s->Time("metricsLoggingInterval", &interval), "metricsLoggingInterval",
         "metrics are at /metrics, not in the log");
  }

  void Redis(YamlSection* s, const char* key, const char* address) {
    RedisConfig redis;
    redis.section = fmt::format("kvBlockIndexConfig.{}", key);
    redis.address = address;
    const bool given = s->Section(key, [&](YamlSection* t) { RedisKeys(t, &redis); });
    if (!given) return;
    if (config_->redis) s->Refuse(key, "another Redis or Valkey is named already; keep one");
    config_->redis = std::move(redis);
  }

  void RedisKeys(YamlSection* s, RedisConfig* redis) {
    s->Text("address", &redis->address);
    std::string text;
    if (s->Text("backendType", &text) && text != "redis" && text != "valkey" && !text.empty()) {
      s->Refuse("backendType", fmt::format("\"{}\" is not redis or valkey", text));
    }
    bool flag = false;
    Note(s->Flag("enableRDMA", &flag) && flag, "enableRDMA", "Redis is spoken to over TCP");
    RedisSchemaKeys(s, redis);
    s->Text("passwordFile", &redis->password_file);
    s->Text("caFile", &redis->ca_file);
    s->Text("certFile", &redis->cert_file);
    s->Text("keyFile", &redis->key_file);
    if (redis->cert_file.empty() != redis->key_file.empty()) {
      s->Refuse("certFile", "certFile and keyFile are needed together");
    }
  }

  void RedisSchemaKeys(YamlSection* s, RedisConfig* redis) {
    std::string schema = "native";
    s->Text("schema", &schema);
    redis->llmd_schema = schema == "llmd";
    if (schema != "native" && schema != "llmd") {
      s->Refuse("schema", fmt::format("\"{}\" is not native or llmd", schema));
    }
    const bool placed = s->Text("prefix", &redis->prefix);
    const bool timed = s->Time("ttl", &redis->ttl);
    if (redis->llmd_schema && placed) s->Refuse("prefix", "llm-d's schema has none");
    if (redis->llmd_schema && timed) s->Refuse("ttl", "llm-d's schema has none");
    if (timed && redis->ttl != Duration{} && redis->ttl < kLeastTtl) {
      s->Refuse("ttl", "must be 10s or more, or 0: for ever");
    }
  }

  void Weight(YamlSection* s) {
    TierWeight tier;
    s->Text("name", &tier.name);
    if (!s->Weight("weight", &tier.weight)) s->Refuse("weight", "is missing");
    if (tier.name.empty()) s->Refuse("name", "is missing: gpu, cpu, disk, remote or another tier");
    config_->weights.push_back(std::move(tier));
  }

  void Scorer(YamlSection* s) {
    std::string strategy;
    for (const char* key : {"scoringStrategy", "ScoringStrategy"}) {
      if (s->Text(key, &strategy) && strategy != "LongestPrefix") {
        s->Refuse(key, fmt::format("\"{}\" is not LongestPrefix", strategy));
      }
    }
    for (const char* key : {"backendConfigs", "BackendConfigs"}) {
      s->Sections(key, [this](YamlSection* t) { Weight(t); });
    }
  }

  void Tokenizers(YamlSection* s) {
    s->Number("workersCount", &config_->tokenizer_threads, 1, kMaxThreads);
    std::string text;
    Note(s->Text("modelName", &text), "tokenizersPoolConfig.modelName",
         "each request names its model");
    double ratio = 0;
    Note(s->Weight("minPrefixOverlapRatio", &ratio), "minPrefixOverlapRatio",
         "a prompt is never scored by a part of its tokens");
    s->Section("local", [this](YamlSection* t) {
      ModelMap(t);
      for (const char* key : {"autoDiscoveryDir", "autoDiscoveryTokenizerFileName"}) {
        Note(t->Ignore(key), key, "tokenizers are those of modelTokenizerMap and models");
      }
    });
    s->Section("uds", [this](YamlSection* t) {
      ModelMap(t);
      for (const char* key : {"socketFile", "useTCP"}) {
        Note(t->Ignore(key), key, "tokenizers run in this process");
      }
    });
    Note(s->Ignore("hf"), "tokenizersPoolConfig.hf", "nothing is downloaded");
  }

  void ModelMap(YamlSection* s) {
    std::vector<std::pair<std::string, std::string>> models;
    s->TextMap("modelTokenizerMap", &models);
    for (auto& [name, path] : models) config_->models.push_back({name, path});
  }

  void Model(YamlSection* s) {
    ModelConfig model;
    s->Text("name", &model.name);
    s->Text("tokenizer", &model.tokenizer);
    if (model.name.empty()) s->Refuse("name", "is missing: the model as requests name it");
    config_->models.push_back(std::move(model));
  }

  void Pod(YamlSection* s) {
    PodConfig pod;
    s->Text("name", &pod.name);
    s->Text("endpoint", &pod.endpoint);
    s->Text("replayEndpoint", &pod.replay_endpoint);
    s->Text("model", &pod.model);
    s->Text("serverKey", &pod.server_key);
    if (pod.name.empty()) s->Refuse("name", "is missing: the pod as scores name it");
    if (pod.endpoint.empty()) {
      s->Refuse("endpoint", "is missing: write for example tcp://10.0.0.1:5557");
    }
    config_->pods.push_back(std::move(pod));
  }

  void Replicas(YamlSection* s) {
    ReplicaPlace::Config replicas;
    s->Texts("replicas", &replicas.all);
    s->Text("replica", &replicas.self);
    s->Number("shardBlocks", &replicas.first_blocks, 0, ShardMap::kMaxFirstBlocks);
    std::string message;
    auto place = ReplicaPlace::Create(replicas, &message);
    if (place) {
      config_->place = std::move(*place);
      return;
    }
    const size_t colon = message.find(": ");
    s->Refuse(message.substr(0, colon), message.substr(colon + 2));
  }

  void Events(YamlSection* s) {
    s->Text("zmqEndpoint", &config_->bind_endpoint);
    s->Text("topicFilter", &config_->topic_filter);
    uint64_t number = 0;
    Note(s->Number("concurrency", &number, 1), "kvEventsConfig.concurrency",
         "one thread takes all events");
    std::string engine;
    if (s->Text("engineType", &engine) && engine != "vllm" && engine != "sglang" && !engine.empty())
      s->Refuse("engineType", fmt::format("\"{}\" is not vllm or sglang", engine));
    Note(!engine.empty(), "kvEventsConfig.engineType", "either engine's events are understood");
    bool flag = false;
    Note(s->Flag("discoverPods", &flag) && flag, "kvEventsConfig.discoverPods",
         "pods come from pods, podsFile and discover; this program asks no Kubernetes API");
    Note(s->Section("podDiscoveryConfig",
                    [](YamlSection* t) {
                      std::string text;
                      uint32_t port = 0;
                      t->Text("podLabelSelector", &text);
                      t->Text("podNamespace", &text);
                      t->Number("socketPort", &port, 0, 65535);
                      t->Number("replaySocketPort", &port, 0, 65535);
                    }),
         "kvEventsConfig.podDiscoveryConfig", "this program asks no Kubernetes API");
  }

  IndexConfig* const config_;
};

// Names that must be different from each other.
template <typename List>
bool HasTwice(const List& list, std::string* name) {
  std::set<std::string> seen;
  for (const auto& each : list) {
    if (seen.insert(each.name).second) continue;
    *name = each.name;
    return true;
  }
  return false;
}

}  // namespace

Result<IndexConfig> ParseIndexConfig(const std::string& text, std::string* message) {
  message->clear();
  IndexConfig config;
  try {
    YamlSection root(YAML::Load(text), "", message);
    ConfigReader(&config).Root(&root);
    root.Finish();
  } catch (const YAML::Exception& error) {
    return Refuse(fmt::format("line {}: is not YAML: {}", error.mark.line + 1, error.msg), message);
  } catch (const std::exception& error) {
    return Refuse(fmt::format("is not YAML: {}", error.what()), message);
  }
  if (message->empty() && config.redis && config.place.split() != nullptr) {
    return Refuse("replicas: an index in Redis is not split; keep one of the two", message);
  }
  std::string twice;
  if (message->empty() && HasTwice(config.models, &twice)) {
    return Refuse(fmt::format("models: {} stands twice; keep one", twice), message);
  }
  if (message->empty() && HasTwice(config.pods, &twice)) {
    return Refuse(fmt::format("pods: {} stands twice; keep one", twice), message);
  }
  if (!message->empty()) return Fail(Errc::kInvalid, "the indexer's configuration is wrong");
  return config;
}

Result<IndexConfig> ReadIndexConfig(const std::string& path, std::string* message) {
  const auto text = ReadFile(path, kMaxConfigBytes);
  if (!text && text.error().code == Errc::kLimit) {
    return Refuse(fmt::format("{} is larger than {} bytes", path, kMaxConfigBytes), message);
  }
  if (!text) {
    return Refuse(fmt::format("cannot read {}: {}", path, std::strerror(text.error().os)), message);
  }
  auto config = ParseIndexConfig(*text, message);
  if (!config) *message = path + ": " + *message;
  return config;
}

}  // namespace headrace::indexer
