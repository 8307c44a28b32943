// One engine of the simulator, as one data-parallel rank has it: its requests, its cache, its
// adapters, its metrics, and the time that passes for them. Lives on its loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "base/random.h"
#include "base/result.h"
#include "net/http_server.h"
#include "sim/conversation.h"
#include "sim/engine.h"
#include "sim/failures.h"
#include "sim/kv_cache.h"
#include "sim/kv_hash.h"
#include "sim/latency.h"
#include "sim/lora.h"
#include "sim/sim_metrics.h"

namespace headrace::sim {

class Rank {
 public:
  struct Options {
    std::string model;
    std::vector<std::string> aliases;  // as it is served; the first one is displayed
    std::vector<LoraAdapter> adapters;
    uint32_t max_loras = 1;
    uint32_t max_running = 5;
    uint32_t max_waiting = 1000;
    uint32_t max_model_len = 1024;
    LatencyOptions latency;
    FailureOptions failures;
    ToolOptions tools;
    std::optional<KvCache::Options> cache;  // absent: none is simulated
    wire::HasherOptions hashing;            // of the cache's blocks
    double cache_hit_threshold = 0;
    uint64_t seed = 0;
    bool request_id_headers = false;
    std::string header_lines;  // of every answer
  };

  // `tokenizer` and `loop` outlive it. `message` is the line for the user.
  static Result<std::unique_ptr<Rank>> Create(Loop* loop, const Options& options,
                                              const text::Tokenizer* tokenizer,
                                              std::unique_ptr<Generator> generator,
                                              std::string* message);
  ~Rank();
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  // A request of a generating endpoint.
  void Generate(const GenerateEndpoint& endpoint,
                const std::shared_ptr<net::HttpExchange>& exchange);

  // From here on new requests get 503.
  void Close() { closing_ = true; }
  bool idle() const { return conversations_.empty(); }

  // What a request's model names: an adapter without a name is the base model.
  std::optional<LoraAdapter> Model(const std::string& name) const;
  std::string Scrape(double unix_s);
  std::string NewId();  // a UUID; the same seed gives the same ones
  // While it sleeps no prompt is looked up or kept.
  void SetCacheAwake(bool awake) { parts_.hasher = awake ? hasher_.get() : nullptr; }

  const Options& options() const { return options_; }
  LoraTable* loras() { return &loras_; }
  LatencyModel* latency() { return &latency_; }
  Failures* failures() { return &failures_; }
  SimMetrics* metrics() { return &metrics_; }
  KvCache* cache() { return cache_.get(); }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  Rank(Loop* loop, const Options& options, const text::Tokenizer* tokenizer,
       std::unique_ptr<Generator> generator, std::unique_ptr<KvHasher> hasher);

  std::optional<ApiError> Accept(const GenerateEndpoint& endpoint,
                                 const std::shared_ptr<net::HttpExchange>& exchange);
  std::optional<ApiError> Check(const net::HttpRequest& http, const GenerateBody& body);
  std::string RequestId(const net::HttpRequest& http);
  void Gone(uint64_t number);
  void OnTimer();
  void Settle();
  void ArmTimer();

  Loop* const loop_;
  const Options options_;
  const text::Tokenizer* const tokenizer_;
  const std::unique_ptr<Generator> generator_;
  const std::unique_ptr<KvHasher> hasher_;
  Random random_;
  Random ids_;
  LatencyModel latency_;
  LoraTable loras_;
  SimMetrics metrics_;
  Failures failures_;
  const std::unique_ptr<KvCache> cache_;
  Engine engine_;
  std::vector<Conversation*> touched_;
  ConversationParts parts_;
  std::unordered_map<uint64_t, std::unique_ptr<Conversation>> conversations_;
  uint64_t last_number_ = 0;
  bool settling_ = false;
  bool closing_ = false;
  uint64_t timer_ = 0;        // 0: none
  Time armed_ = Time::max();  // when it rings
};

// An answer that refuses.
net::HttpReply ErrorReply(const ApiError& error, const std::string& header_lines);

// Whether a text from outside may stand in a header line.
bool IsHeaderText(std::string_view text);

}  // namespace headrace::sim
