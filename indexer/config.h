// How the indexer is configured: one YAML file with llm-d's names where llm-d has one, and ours.
// docs/index_api.md lists every key. Unknown keys are refused by name; keys of llm-d that mean
// nothing here are taken and said aloud. Pure functions but for ReadIndexConfig; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "indexer/replica_place.h"
#include "wire/hash.h"

namespace headrace::indexer {

// What is known of a model before anybody speaks of it.
struct ModelConfig {
  std::string name;
  std::string tokenizer;  // a folder with tokenizer.json, or that file; "": token ids only
};

// Where a pod's events come from.
struct PodConfig {
  std::string name;
  std::string endpoint;         // "tcp://10.0.0.1:5557", to dial
  std::string replay_endpoint;  // ROUTER of the publisher; "": none
  std::string model;            // for topics that name none
  std::string server_key;       // the publisher's CURVE key; "": it speaks in the clear
};

struct TierWeight {
  std::string name;
  double weight = 0;
};

// The Redis or Valkey through which several servers share one index.
struct RedisConfig {
  std::string section;  // of the file, for messages
  std::string address;
  std::string prefix = "hr:";
  bool llmd_schema = false;
  Duration ttl{0};  // of an index whose servers are all gone; 0: it stays
  std::string password_file, ca_file, cert_file, key_file;
};

struct IndexConfig {
  // One algorithm for the whole fleet; `model` is not used.
  wire::HasherOptions hash{
      .algo = wire::HashAlgo::kXxh64, .seed = "", .model = "", .block_tokens = 16};
  std::vector<ModelConfig> models;
  uint32_t tokenizer_threads = 0;    // 0: the server's option
  std::vector<TierWeight> weights;   // beyond TierTable's own
  uint64_t memory_budget_bytes = 0;  // 0: none
  std::optional<RedisConfig> redis;  // absent: the index is this process's own
  std::string bind_endpoint;         // where pods dial in; "": nowhere
  std::string topic_filter = "kv@";
  std::vector<PodConfig> pods;
  std::string pods_file;              // watched: one pod a line; "": none
  std::vector<std::string> discover;  // addresses with GET /kv_event_sources
  ReplicaPlace place;                 // among several that share the index
  // Keys that were given and change nothing here, each with why.
  std::vector<std::string> notes;
};

inline constexpr size_t kMaxConfigBytes = 16u << 20;

// On failure `*message` is the line for the user: the key as a path, and what would be right.
Result<IndexConfig> ParseIndexConfig(const std::string& text, std::string* message);
Result<IndexConfig> ReadIndexConfig(const std::string& path, std::string* message);

}  // namespace headrace::indexer
