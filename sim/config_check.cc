// What no option can check alone, and values made of texts.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "net/zmq_endpoint.h"
#include "sim/bounded_json.h"
#include "sim/config_texts.h"

namespace headrace::sim {
namespace {

// At most 30 %. The longest durations do not overflow.
bool IsNarrow(Duration mean, Duration deviation) {
  return deviation <= mean / 10 * 3 + mean % 10 * 3 / 10;
}

LatencyFault TooWide(const char* mean, Duration value, Duration deviation) {
  return {fmt::format("{}-std-dev", mean),
          fmt::format("{} is over 30 % of {}, which is {}", SpellDuration(deviation), mean,
                      SpellDuration(value))};
}

// One after the other, as long as nothing is wrong.
class Checker {
 public:
  Checker(const ConfigTexts& texts, const OptionTable& table, Config* config, std::string* message)
      : texts_(texts), table_(table), config_(config), message_(message) {}

  Status Run();

 private:
  // The message begins with where the option was written.
  Status Refuse(const char* option, std::string_view what) {
    *message_ = fmt::format("{}: {}", table_.place(option), what);
    return Fail(Errc::kInvalid, "wrong configuration");
  }

  Status CheckModel();
  Status CheckHosts();
  Status CheckServing();
  Status CheckLora();
  Status AddAdapter(const std::string& text);
  Status CheckTimes();
  Status CheckTools();
  Status CheckRanks();
  Status CheckKv();
  Status CheckHash();
  Status CheckEvents();
  Status CheckEndpoint(const char* option, const std::string& text, net::ZmqEndpoint* endpoint);
  Status CheckApart(const net::ZmqEndpoint& publish, const net::ZmqEndpoint& replay);
  Status CheckFailures();
  Status CheckDataset();

  const ConfigTexts& texts_;
  const OptionTable& table_;
  Config* const config_;
  std::string* const message_;
};

Status Checker::CheckModel() {
  ModelOptions& model = config_->model;
  if (model.name.empty()) return Refuse("model", "is missing; write --model NAME or set SIM_MODEL");
  if (model.served_names.empty()) model.served_names = {model.name};
  for (const std::string& name : model.served_names) {
    if (name.empty()) return Refuse("served-model-name", "a name must not be empty");
  }
  model.mode = texts_.mode == "echo" ? Mode::kEcho : Mode::kRandom;
  if (model.tokenizer.empty()) return Refuse("tokenizer", "write regex, byte or a path");
  if (texts_.force_dummy_tokenizer) {
    if (table_.given("tokenizer") && model.tokenizer != "regex") {
      return Refuse("force-dummy-tokenizer", "contradicts --tokenizer; keep one");
    }
    model.tokenizer = "regex";
  }
  if (table_.given("seed")) config_->seed = texts_.seed;
  config_->scheduler.kind =
      texts_.scheduler == "continuous" ? SchedulerKind::kContinuous : SchedulerKind::kSimple;
  return {};
}

Status Checker::CheckHosts() {
  if (texts_.hosts.empty()) return Refuse("host", "needs an address, for example 0.0.0.0 or ::");
  for (std::string host : texts_.hosts) {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (host == "localhost") host = "127.0.0.1";
    in6_addr address{};
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
    if (!is_address) {
      return Refuse("host",
                    fmt::format("\"{}\" is no address; write for example 0.0.0.0 or ::", host));
    }
    config_->serving.hosts.push_back(std::move(host));
  }
  return {};
}

Status Checker::CheckServing() {
  ServingOptions& serving = config_->serving;
  serving.max_body_bytes = texts_.max_body_mb << 20;
  if (!serving.tls_cert_file.empty() && serving.tls_key_file.empty()) {
    return Refuse("ssl-certfile", "needs --ssl-keyfile");
  }
  if (serving.tls_cert_file.empty() && !serving.tls_key_file.empty()) {
    return Refuse("ssl-keyfile", "needs --ssl-certfile");
  }
  if (serving.self_signed_certs && !serving.tls_cert_file.empty()) {
    return Refuse("self-signed-certs", "contradicts --ssl-certfile; keep one");
  }
  return {};
}

Status Checker::CheckLora() {
  LoraOptions& lora = config_->lora;
  lora.max_registered = table_.given("max-cpu-loras") ? texts_.max_cpu_loras : lora.max_running;
  if (lora.max_registered < lora.max_running) {
    return Refuse("max-cpu-loras", fmt::format("{} is less than --max-loras, which is {}",
                                               lora.max_registered, lora.max_running));
  }
  for (const std::string& text : texts_.lora_modules) HR_RETURN_IF_ERROR(AddAdapter(text));
  return {};
}

Status Checker::AddAdapter(const std::string& text) {
  const auto json = ParseBoundedJson(text);
  if (!json || !json->is_object()) {
    return Refuse("lora-modules", fmt::format("\"{}\" is no JSON object; write for example "
                                              "{{\"name\":\"a\",\"path\":\"/p\"}}",
                                              text));
  }
  std::array<std::string, 3> fields;
  constexpr std::array<const char*, 3> kNames = {"name", "path", "base_model_name"};
  for (const auto& [key, value] : json->items()) {
    const auto* const name = std::find(kNames.begin(), kNames.end(), key);
    if (name == kNames.end() || !(value.is_string() || value.is_null())) {
      return Refuse("lora-modules",
                    fmt::format("\"{}\" of an adapter: its fields are the texts name, path and "
                                "base_model_name",
                                key));
    }
    if (value.is_string()) fields[static_cast<size_t>(name - kNames.begin())] = value;
  }
  if (fields[0].empty()) return Refuse("lora-modules", "an adapter needs a name");
  if (!fields[2].empty() && fields[2] != config_->model.name) {
    return Refuse("lora-modules",
                  fmt::format("base_model_name \"{}\" of adapter \"{}\" is not --model", fields[2],
                              fields[0]));
  }
  config_->lora.adapters.push_back({fields[0], fields[1]});
  return {};
}

Status Checker::CheckTimes() {
  const auto calculator = ParseCalculator(texts_.calculator);
  if (!calculator) {
    return Refuse("latency-calculator",
                  fmt::format("\"{}\" is not a choice; write one of constant, per-token, \"\"",
                              texts_.calculator));
  }
  config_->latency.calculator = *calculator;
  if (const auto fault = CheckLatencies(config_->latency)) {
    return Refuse(fault->option.c_str(), fault->reason);
  }
  if (const auto fault = CheckImages(config_->images)) {
    return Refuse(fault->option.c_str(), fault->reason);
  }
  if (config_->fake_metrics_refresh.count() == 0) {
    return Refuse("fake-metrics-refresh-interval", "must be above 0, for example 100ms");
  }
  return {};
}

Status Checker::CheckTools() {
  const ToolOptions& tools = config_->tools;
  if (tools.max_integer < tools.min_integer) {
    return Refuse("max-tool-call-integer-param", "is less than --min-tool-call-integer-param");
  }
  if (tools.max_number < tools.min_number) {
    return Refuse("max-tool-call-number-param", "is less than --min-tool-call-number-param");
  }
  if (tools.max_array_length < tools.min_array_length) {
    return Refuse("max-tool-call-array-param-length",
                  "is less than --min-tool-call-array-param-length");
  }
  return {};
}

Status Checker::CheckRanks() {
  RankOptions& ranks = config_->ranks;
  if (texts_.rank >= 0) {
    ranks.own = static_cast<uint32_t>(texts_.rank);
    ranks.size = 1;
  }
  if (config_->serving.port + ranks.size - 1 > 65535) {
    return Refuse("port", fmt::format("{} leaves no room for the ports of {} ranks below 65536",
                                      config_->serving.port, ranks.size));
  }
  return {};
}

Status Checker::CheckHash() {
  KvOptions& kv = config_->kv;
  const auto algo = wire::ParseHashAlgo(texts_.hash_algo);
  if (!algo) {
    return Refuse("block-hash", fmt::format("\"{}\" is not a choice; write one of {}",
                                            texts_.hash_algo, wire::HashAlgoNames()));
  }
  kv.hash_algo = *algo;
  wire::HasherOptions options{
      .algo = *algo, .seed = {}, .model = config_->model.name, .block_tokens = kv.block_tokens};
  if (!kv.hash_seed.empty()) options.seed = kv.hash_seed;
  if (const auto hasher = wire::BlockHasher::Create(options); !hasher) {
    return Refuse(kv.hash_seed.empty() ? "block-hash" : "hash-seed",
                  fmt::format("{} cannot be used {}: {}", texts_.hash_algo,
                              kv.hash_seed.empty() ? "without --hash-seed" : "with this seed",
                              hasher.error().what));
  }
  return {};
}

Status Checker::CheckKv() {
  KvOptions& kv = config_->kv;
  kv.block_tokens = static_cast<uint32_t>(ParseNumber(texts_.block_size).value());
  HR_RETURN_IF_ERROR(CheckHash());
  if (kv.enabled && config_->pod.ip.empty() && !config_->events.endpoint.empty()) {
    return Refuse("enable-kvcache",
                  "needs the environment variable POD_IP: the address that events name the pod "
                  "by; without events write --zmq-endpoint \"\"");
  }
  if (kv.bytes_per_token == 0) return Refuse("kv-bytes-per-token", "must be above 0");
  if (!kv.headrace_endpoint.empty() && !kv.enabled) {
    return Refuse("headrace-endpoint", "needs --enable-kvcache");
  }
  return {};
}

Status Checker::CheckEndpoint(const char* option, const std::string& text,
                              net::ZmqEndpoint* endpoint) {
  const auto parsed = net::ParseZmqEndpoint(text);
  if (!parsed) {
    return Refuse(option, fmt::format("\"{}\" is no endpoint; write for example "
                                      "tcp://127.0.0.1:5557",
                                      text));
  }
  *endpoint = *parsed;
  const bool is_tcp = endpoint->scheme == net::ZmqEndpoint::Scheme::kTcp;
  if (is_tcp && endpoint->port + config_->ranks.size - 1 > 65535) {
    return Refuse(option, fmt::format("{} leaves no room for the ports of {} ranks below 65536",
                                      endpoint->port, config_->ranks.size));
  }
  return {};
}

Status Checker::CheckEvents() {
  EventOptions& events = config_->events;
  events.topic = texts_.topic == "pod" ? EventTopic::kPod : EventTopic::kPodPort;
  net::ZmqEndpoint publish, replay;
  if (!events.endpoint.empty()) {
    HR_RETURN_IF_ERROR(CheckEndpoint("zmq-endpoint", events.endpoint, &publish));
    if (publish.host == "*" && !events.bind) {
      return Refuse("zmq-endpoint", "\"*\" names no peer to dial; add --kv-events-bind");
    }
  }
  if (events.replay_endpoint.empty()) return {};
  HR_RETURN_IF_ERROR(CheckEndpoint("kv-events-replay-endpoint", events.replay_endpoint, &replay));
  if (events.endpoint.empty() || publish.scheme != replay.scheme) return {};
  return CheckApart(publish, replay);
}

// Two endpoints of one scheme, with a port for each rank.
Status Checker::CheckApart(const net::ZmqEndpoint& publish, const net::ZmqEndpoint& replay) {
  if (replay.scheme != net::ZmqEndpoint::Scheme::kTcp) {
    if (publish.path != replay.path) return {};
    return Refuse("kv-events-replay-endpoint", "is the endpoint of --zmq-endpoint, too");
  }
  const uint32_t ranks = config_->ranks.size;
  const bool apart = publish.port + ranks <= replay.port || replay.port + ranks <= publish.port;
  // Another host may use the same ports.
  const bool one_host = publish.host == replay.host || publish.is_local() || publish.must_bind() ||
                        publish.host == config_->pod.ip;
  if (apart || !one_host || replay.port == 0) return {};
  return Refuse("kv-events-replay-endpoint",
                fmt::format("its ports from {} on meet those of --zmq-endpoint from {} on; each "
                            "takes one for each of {} ranks",
                            replay.port, publish.port, ranks));
}

Status Checker::CheckFailures() {
  for (const std::string& name : texts_.failure_types) {
    const auto type = ParseFailureType(name);
    if (!type) {
      return Refuse("failure-types", fmt::format("\"{}\" is not a choice; write one of {}", name,
                                                 FailureTypeNames()));
    }
    config_->failures.types.push_back(*type);
  }
  if (texts_.fake_metrics.empty()) return {};
  FakeMetrics metrics;
  const std::string fault =
      ParseFakeMetrics(texts_.fake_metrics, config_->model.max_model_len, &metrics);
  if (!fault.empty()) return Refuse("fake-metrics", fault);
  config_->fake_metrics = std::move(metrics);
  return {};
}

Status Checker::CheckDataset() {
  const DatasetConfig& dataset = config_->dataset;
  if (!dataset.url.empty() && dataset.source.path.empty()) {
    return Refuse("dataset-url", "needs --dataset-path, where the file is put");
  }
  if (dataset.source.path.empty()) return {};
  if (config_->model.mode == Mode::kEcho) {
    return Refuse("dataset-path", "has no use with --mode echo; leave one out");
  }
  if (dataset.source.table.empty()) return Refuse("dataset-table-name", "must not be empty");
  return {};
}

Status Checker::Run() {
  HR_RETURN_IF_ERROR(CheckModel());
  HR_RETURN_IF_ERROR(CheckHosts());
  HR_RETURN_IF_ERROR(CheckServing());
  HR_RETURN_IF_ERROR(CheckLora());
  HR_RETURN_IF_ERROR(CheckTimes());
  HR_RETURN_IF_ERROR(CheckTools());
  HR_RETURN_IF_ERROR(CheckRanks());
  HR_RETURN_IF_ERROR(CheckKv());
  HR_RETURN_IF_ERROR(CheckEvents());
  HR_RETURN_IF_ERROR(CheckFailures());
  return CheckDataset();
}

}  // namespace

std::optional<LatencyFault> CheckLatencies(const LatencyOptions& latency) {
  struct Pair {
    const char* mean;
    Duration value, deviation;
  };
  const std::array<Pair, 3> pairs = {
      {{"time-to-first-token", latency.time_to_first_token, latency.time_to_first_token_std_dev},
       {"inter-token-latency", latency.inter_token_latency, latency.inter_token_latency_std_dev},
       {"kv-cache-transfer-latency", latency.kv_cache_transfer_latency,
        latency.kv_cache_transfer_latency_std_dev}}};
  for (const Pair& pair : pairs) {
    if (!IsNarrow(pair.value, pair.deviation)) {
      return TooWide(pair.mean, pair.value, pair.deviation);
    }
  }
  return std::nullopt;
}

std::optional<LatencyFault> CheckImages(const ImageOptions& images) {
  if (IsNarrow(images.time, images.time_std_dev)) return std::nullopt;
  return TooWide("time-to-generate-image", images.time, images.time_std_dev);
}

Status CheckConfig(const ConfigTexts& texts, const OptionTable& table, Config* config,
                   std::string* message) {
  return Checker(texts, table, config, message).Run();
}

}  // namespace headrace::sim
