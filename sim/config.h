// How a simulator is set up: flag > environment > YAML file > default, under the names and rules of
// llm-d-inference-sim, and our own. Plain values; what of them changes at run time is admin.h's.
// Main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "sim/failures.h"
#include "sim/fake_metrics.h"
#include "sim/generator.h"
#include "sim/latency.h"
#include "sim/lora.h"
#include "sim/tools.h"
#include "wire/hash.h"

namespace headrace::sim {

enum class Mode : uint8_t { kRandom, kEcho };
enum class SchedulerKind : uint8_t { kSimple, kContinuous };
enum class EventTopic : uint8_t {
  kPodPort,  // kv@ip:port@model
  kPod,      // kv@ip@model, for older indexers
};

struct ServingOptions {
  std::vector<std::string> hosts;  // to listen on; never empty
  uint32_t port = 8000;            // of rank 0
  std::string tls_cert_file, tls_key_file;
  bool self_signed_certs = false;
  uint64_t max_body_bytes = 4u << 20;
  bool request_id_headers = false;
  bool log_http = false;
  uint32_t verbosity = 2;  // klog's: 1 warnings, 2 information, 4 debug, 5 everything
  Duration startup_duration{};
  bool enable_sleep_mode = false;
  bool dev_mode = false;  // VLLM_SERVER_DEV_MODE=1
  bool may_sleep() const { return enable_sleep_mode && dev_mode; }
  bool tls() const { return self_signed_certs || !tls_cert_file.empty(); }
};

// What the environment says about the pod; "" when it says nothing.
struct PodNames {
  std::string name, name_space, ip;
};

struct ModelOptions {
  std::string name;
  std::vector<std::string> served_names;  // never empty; the first is displayed
  uint32_t max_model_len = 1024;
  Mode mode = Mode::kRandom;
  std::string tokenizer = "regex";  // "regex", "byte", or a path
  uint32_t embedding_dimensions = 384;
  bool mm_encoder_only = false;
};

struct LoraOptions {
  uint32_t max_running = 1;
  uint32_t max_registered = 1;  // max-cpu-loras
  std::vector<LoraAdapter> adapters;
};

struct SchedulerOptions {
  SchedulerKind kind = SchedulerKind::kSimple;
  uint32_t max_running = 5;
  uint32_t max_waiting = 1000;
  uint32_t max_batched_tokens = 2048;
};

struct KvOptions {
  bool enabled = false;
  uint32_t blocks = 1024;
  uint32_t block_tokens = 16;
  std::string hash_seed;
  wire::HashAlgo hash_algo = wire::HashAlgo::kLlmdD;
  double hit_threshold = 0;       // of requests that name none
  std::string headrace_endpoint;  // "": no real bytes
  uint64_t bytes_per_token = 2048;
};

struct EventOptions {
  std::string endpoint;  // of rank 0; "": none
  bool bind = false;     // else it dials
  EventTopic topic = EventTopic::kPodPort;
  uint32_t batch_size = 16;
  bool as_maps = false;
  std::string replay_endpoint;  // of rank 0; "": none
  uint32_t replay_queue = 1024;
};

struct RankOptions {
  uint32_t size = 1;            // ranks in this process, on ports one after the other
  std::optional<uint32_t> own;  // the only rank here, when they are processes of their own
  uint32_t first() const { return own.value_or(0); }
};

struct ImageOptions {
  bool omni = false;
  uint32_t emission_rate = 0;  // percent
  Duration time{}, time_std_dev{};
};

struct DatasetConfig {
  std::string url;        // from where it comes when there is no file
  DatasetOptions source;  // path "": none
};

struct Config {
  ServingOptions serving;
  PodNames pod;
  ModelOptions model;
  LoraOptions lora;
  SchedulerOptions scheduler;
  std::optional<int64_t> seed;  // absent: main draws one
  LatencyOptions latency;
  ToolOptions tools;
  KvOptions kv;
  EventOptions events;
  RankOptions ranks;
  FailureOptions failures;
  std::optional<FakeMetrics> fake_metrics;
  Duration fake_metrics_refresh = milliseconds(100);
  DatasetConfig dataset;
  ImageOptions images;

  std::vector<OptionTable::Effective> effective;  // every option as it would be typed, for the log
};

// On failure `*message` is the line for the user, which names the flag, the variable or the key and
// what would be right; the configuration may hold anything. kExit: --help or --version was printed.
Result<OptionTable::Outcome> ParseConfig(int argc, const char* const* argv,
                                         const OptionTable::Lookup& environment, Config* config,
                                         std::string* message);

// How values are named by their options.
const char* ModeName(Mode mode);                           // "random", "echo"
const char* SchedulerName(SchedulerKind kind);             // "simple", "continuous"
const char* EventTopicName(EventTopic topic);              // "pod-port", "pod"
const char* CalculatorName(LatencyCalculator calculator);  // "", "constant", "per-token"
std::optional<LatencyCalculator> ParseCalculator(std::string_view name);

// What is wrong with latencies as a whole; what each may be by itself is not looked at.
struct LatencyFault {
  std::string option, reason;
};
std::optional<LatencyFault> CheckLatencies(const LatencyOptions& latency);
std::optional<LatencyFault> CheckImages(const ImageOptions& images);

}  // namespace headrace::sim
