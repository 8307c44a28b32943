#include "sim/admin.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/bounded_json.h"

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

struct TimeKey {
  const char* name;
  Duration LatencyOptions::* field;
};
constexpr std::array<TimeKey, 11> kTimeKeys = {{
    {"time-to-first-token", &LatencyOptions::time_to_first_token},
    {"time-to-first-token-std-dev", &LatencyOptions::time_to_first_token_std_dev},
    {"inter-token-latency", &LatencyOptions::inter_token_latency},
    {"inter-token-latency-std-dev", &LatencyOptions::inter_token_latency_std_dev},
    {"kv-cache-transfer-latency", &LatencyOptions::kv_cache_transfer_latency},
    {"kv-cache-transfer-latency-std-dev", &LatencyOptions::kv_cache_transfer_latency_std_dev},
    {"prefill-overhead", &LatencyOptions::prefill_overhead},
    {"prefill-time-per-token", &LatencyOptions::prefill_time_per_token},
    {"prefill-time-std-dev", &LatencyOptions::prefill_time_std_dev},
    {"kv-cache-transfer-time-per-token", &LatencyOptions::kv_cache_transfer_time_per_token},
    {"kv-cache-transfer-time-std-dev", &LatencyOptions::kv_cache_transfer_time_std_dev},
}};

std::string Spelled(Duration duration) {
  return duration.count() == 0 ? "0s" : SpellDuration(duration);
}

void AddServing(const Config& config, Json* json) {
  const ServingOptions& serving = config.serving;
  (*json)["host"] = serving.hosts;
  // Of several ranks each has its own.
  if (config.ranks.size == 1) (*json)["port"] = serving.port;
  (*json)["ssl-certfile"] = serving.tls_cert_file;
  (*json)["ssl-keyfile"] = serving.tls_key_file;
  (*json)["self-signed-certs"] = serving.self_signed_certs;
  (*json)["max-request-body-size-mb"] = serving.max_body_bytes >> 20;
  (*json)["enable-request-id-headers"] = serving.request_id_headers;
  (*json)["log-http"] = serving.log_http;
  (*json)["v"] = serving.verbosity;
  (*json)["startup-duration"] = Spelled(serving.startup_duration);
  (*json)["enable-sleep-mode"] = serving.enable_sleep_mode;
}

void AddModel(const Config& config, Json* json) {
  (*json)["model"] = config.model.name;
  (*json)["served-model-name"] = config.model.served_names;
  (*json)["max-model-len"] = config.model.max_model_len;
  (*json)["mode"] = ModeName(config.model.mode);
  (*json)["tokenizer"] = config.model.tokenizer;
  (*json)["default-embedding-dimensions"] = config.model.embedding_dimensions;
  (*json)["mm-encoder-only"] = config.model.mm_encoder_only;
  (*json)["seed"] = config.seed ? Json(*config.seed) : Json(nullptr);
  (*json)["scheduler"] = SchedulerName(config.scheduler.kind);
  (*json)["max-num-seqs"] = config.scheduler.max_running;
  (*json)["max-waiting-queue-length"] = config.scheduler.max_waiting;
  (*json)["max-num-batched-tokens"] = config.scheduler.max_batched_tokens;
  (*json)["data-parallel-size"] = config.ranks.size;
  (*json)["data-parallel-rank"] = config.ranks.own ? Json(*config.ranks.own) : Json(-1);
  (*json)["max-loras"] = config.lora.max_running;
  (*json)["max-cpu-loras"] = config.lora.max_registered;
  (*json)["lora-modules"] = Json::array();
  for (const LoraAdapter& adapter : config.lora.adapters) {
    (*json)["lora-modules"].push_back({{"name", adapter.name}, {"path", adapter.path}});
  }
}

void AddKv(const Config& config, Json* json) {
  const KvOptions& kv = config.kv;
  (*json)["enable-kvcache"] = kv.enabled;
  (*json)["kv-cache-size"] = kv.blocks;
  (*json)["block-size"] = kv.block_tokens;
  (*json)["block-hash"] = wire::HashAlgoName(kv.hash_algo);
  (*json)["hash-seed"] = kv.hash_seed;
  (*json)["global-cache-hit-threshold"] = kv.hit_threshold;
  (*json)["headrace-endpoint"] = kv.headrace_endpoint;
  (*json)["kv-bytes-per-token"] = kv.bytes_per_token;
  const EventOptions& events = config.events;
  (*json)["zmq-endpoint"] = events.endpoint;
  (*json)["kv-events-bind"] = events.bind;
  (*json)["kv-events-topic"] = EventTopicName(events.topic);
  (*json)["event-batch-size"] = events.batch_size;
  (*json)["use-vllm-map-event-format"] = events.as_maps;
  (*json)["kv-events-replay-endpoint"] = events.replay_endpoint;
  (*json)["kv-events-replay-queue-size"] = events.replay_queue;
}

void AddTools(const ToolOptions& tools, Json* json) {
  (*json)["max-tool-call-integer-param"] = tools.max_integer;
  (*json)["min-tool-call-integer-param"] = tools.min_integer;
  (*json)["max-tool-call-number-param"] = tools.max_number;
  (*json)["min-tool-call-number-param"] = tools.min_number;
  (*json)["max-tool-call-array-param-length"] = tools.max_array_length;
  (*json)["min-tool-call-array-param-length"] = tools.min_array_length;
  (*json)["tool-call-not-required-param-probability"] = tools.not_required_param_percent;
  (*json)["object-tool-call-not-required-field-probability"] = tools.not_required_field_percent;
  (*json)["tool-call-extra-call-probability"] = tools.extra_call_percent;
  (*json)["skip-tool-validation"] = tools.skip_validation;
}

// What POST may change, and the rest.
void AddChanging(const Config& config, Json* json) {
  (*json)["failure-injection-rate"] = config.failures.rate;
  (*json)["failure-types"] = Json::array();
  for (FailureType type : config.failures.types) {
    (*json)["failure-types"].push_back(FailureTypeName(type));
  }
  for (const TimeKey& key : kTimeKeys) (*json)[key.name] = Spelled(config.latency.*key.field);
  (*json)["time-factor-under-load"] = config.latency.time_factor_under_load;
  (*json)["latency-calculator"] = CalculatorName(config.latency.calculator);
  (*json)["fake-metrics"] =
      config.fake_metrics ? FakeMetricsJson(*config.fake_metrics) : Json(nullptr);
  (*json)["fake-metrics-refresh-interval"] = Spelled(config.fake_metrics_refresh);
  (*json)["omni"] = config.images.omni;
  (*json)["image-emission-rate"] = config.images.emission_rate;
  (*json)["time-to-generate-image"] = Spelled(config.images.time);
  (*json)["time-to-generate-image-std-dev"] = Spelled(config.images.time_std_dev);
  (*json)["dataset-path"] = config.dataset.source.path;
  (*json)["dataset-url"] = config.dataset.url;
  (*json)["dataset-table-name"] = config.dataset.source.table;
  (*json)["dataset-in-memory"] = config.dataset.source.in_memory;
}

// Applies the keys of one body to a configuration; the first thing that is wrong stands in `error`.
class Updater {
 public:
  explicit Updater(Config* config) : config_(config) {}

  void Apply(const Json& body);
  void ApplyFakeMetrics(const Json& json, const std::string& prefix);
  const std::optional<ApiError>& error() const { return error_; }

 private:
  void Refuse(const std::string& key, const std::string& what) {
    if (!error_) error_ = ApiError{400, fmt::format("{}: {}", key, what), key};
  }
  void ApplyKey(const std::string& key, const Json& json);
  void Percent(const std::string& key, const Json& json, uint32_t* out);
  void Time(const std::string& key, const Json& json, Duration* out);
  void Types(const std::string& key, const Json& json);
  void Factor(const std::string& key, const Json& json);
  void Calculator(const std::string& key, const Json& json);
  bool ApplyTime(const std::string& key, const Json& json);
  void CheckTogether();

  Config* const config_;
  std::optional<ApiError> error_;
};

void Updater::Percent(const std::string& key, const Json& json, uint32_t* out) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() > 100) {
    return Refuse(key, "must be a whole number from 0 to 100");
  }
  *out = json.get<uint32_t>();
}

void Updater::Time(const std::string& key, const Json& json, Duration* out) {
  constexpr const char* kWanted =
      "must be a duration such as \"250ms\", or nanoseconds as a whole number, 0 or more";
  if (json.is_number_unsigned() && json.get<uint64_t>() <= uint64_t{INT64_MAX}) {
    *out = Duration(json.get<int64_t>());
    return;
  }
  if (!json.is_string()) return Refuse(key, kWanted);
  const auto duration = ParseGoDuration(json.get_ref<const std::string&>());
  if (!duration || duration->count() < 0) return Refuse(key, kWanted);
  *out = *duration;
}

void Updater::Types(const std::string& key, const Json& json) {
  if (!json.is_array()) return Refuse(key, "must be a list of types of failures");
  std::vector<FailureType> types;
  for (const Json& element : json) {
    const auto type = element.is_string() ? ParseFailureType(element.get_ref<const std::string&>())
                                          : std::nullopt;
    if (!type) {
      return Refuse(key, fmt::format("{} is no type of failure; write some of {}",
                                     WriteJson(element), FailureTypeNames()));
    }
    types.push_back(*type);
  }
  config_->failures.types = std::move(types);
}

void Updater::Factor(const std::string& key, const Json& json) {
  if (!json.is_number() || !(json.get<double>() >= 1) || !std::isfinite(json.get<double>())) {
    return Refuse(key, "must be a number of at least 1");
  }
  config_->latency.time_factor_under_load = json.get<double>();
}

void Updater::Calculator(const std::string& key, const Json& json) {
  const auto calculator =
      json.is_string() ? ParseCalculator(json.get_ref<const std::string&>()) : std::nullopt;
  if (!calculator) return Refuse(key, "must be \"\", \"constant\" or \"per-token\"");
  config_->latency.calculator = *calculator;
}

void Updater::ApplyFakeMetrics(const Json& json, const std::string& prefix) {
  if (!config_->fake_metrics) {
    return Refuse("fake-metrics",
                  "can be changed only where --fake-metrics was given at the start");
  }
  const std::string fault =
      UpdateFakeMetrics(json, config_->model.max_model_len, &*config_->fake_metrics);
  if (fault.empty() || error_) return;
  const bool is_object = json.is_object();
  const std::string key = is_object ? prefix + fault.substr(0, fault.find(':')) : "fake-metrics";
  const std::string what = is_object ? fault.substr(fault.find(':') + 2) : fault;
  Refuse(key, what);
}

bool Updater::ApplyTime(const std::string& key, const Json& json) {
  for (const TimeKey& time : kTimeKeys) {
    if (key != time.name) continue;
    Time(key, json, &(config_->latency.*time.field));
    return true;
  }
  return false;
}

void Updater::ApplyKey(const std::string& key, const Json& json) {
  if (ApplyTime(key, json)) return;
  if (key == "failure-injection-rate") return Percent(key, json, &config_->failures.rate);
  if (key == "failure-types") return Types(key, json);
  if (key == "fake-metrics") return ApplyFakeMetrics(json, "fake-metrics.");
  if (key == "time-factor-under-load") return Factor(key, json);
  if (key == "latency-calculator") return Calculator(key, json);
  if (key == "image-emission-rate") return Percent(key, json, &config_->images.emission_rate);
  if (key == "time-to-generate-image") return Time(key, json, &config_->images.time);
  if (key == "time-to-generate-image-std-dev") {
    return Time(key, json, &config_->images.time_std_dev);
  }
  Refuse(key, "cannot be changed while the simulator runs");
}

void Updater::CheckTogether() {
  if (const auto fault = CheckLatencies(config_->latency)) Refuse(fault->option, fault->reason);
  if (const auto fault = CheckImages(config_->images)) Refuse(fault->option, fault->reason);
}

void Updater::Apply(const Json& body) {
  for (const auto& [key, json] : body.items()) ApplyKey(key, json);
  CheckTogether();
}

ApiError NoObject() {
  return ApiError{400, "The body must be a JSON object."};
}

}  // namespace

std::string AdminConfigBody(const Config& config) {
  Json json = Json::object();
  AddServing(config, &json);
  AddModel(config, &json);
  AddKv(config, &json);
  AddTools(config.tools, &json);
  AddChanging(config, &json);
  return WriteJson(json);
}

ApiResult<Config> UpdateConfig(const Config& config, std::string_view body) {
  const auto json = ParseBoundedJson(body);
  if (!json || !json->is_object()) return tl::unexpected(NoObject());
  Config next = config;
  Updater updater(&next);
  updater.Apply(*json);
  if (updater.error()) return tl::unexpected(*updater.error());
  return next;
}

ApiResult<Config> UpdateFakeMetricsOf(const Config& config, std::string_view body) {
  const auto json = ParseBoundedJson(body);
  if (!json || !json->is_object()) return tl::unexpected(NoObject());
  Config next = config;
  Updater updater(&next);
  updater.ApplyFakeMetrics(*json, "");
  if (updater.error()) return tl::unexpected(*updater.error());
  return next;
}

}  // namespace headrace::sim
