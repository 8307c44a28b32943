#include "sim/fake_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <utility>

#include "base/bytes.h"
#include "sim/bounded_json.h"

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

// Bounds of the histograms, without the bucket above all.
constexpr size_t kFirstTokenBounds = 22;
constexpr size_t kPerTokenBounds = 19;
constexpr size_t kLatencyBounds = 21;
constexpr size_t kMaxLoras = 4096;
constexpr double kMaxCount = 9007199254740992;  // what a double counts exactly
constexpr std::array<const char*, 4> kShapes = {"oscillate", "ramp", "rampreset", "squarewave"};
constexpr std::array<const char*, 5> kReasons = {"stop", "length", "tool_calls", "remote_decode",
                                                 "cache_threshold"};

bool ParseDouble(std::string_view text, double* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(*value);
}

std::vector<std::string_view> Parts(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(':', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

template <size_t kCount>
std::string Joined(const std::array<const char*, kCount>& names) {
  std::string joined;
  for (const char* name : names) {
    if (!joined.empty()) joined += ", ";
    joined += name;
  }
  return joined;
}

// The 1-2-5 series up to the longest sequence.
size_t TokenBounds(uint32_t max_model_len) {
  size_t bounds = 0;
  for (uint64_t decade = 1; decade <= max_model_len; decade *= 10) {
    for (uint64_t step : {1, 2, 5}) bounds += decade * step <= max_model_len ? 1 : 0;
  }
  return bounds;
}

// Reads the keys of one object; the first thing that is wrong stands in `fault`.
class Reader {
 public:
  explicit Reader(uint32_t max_model_len) : token_bounds_(TokenBounds(max_model_len)) {}

  void Read(const Json& object, FakeMetrics* out);
  const std::string& fault() const { return fault_; }

 private:
  void Refuse(const std::string& key, const std::string& what) {
    if (fault_.empty()) fault_ = key + ": " + what;
  }
  void Value(const std::string& key, const Json& json, double high, FakeValue* out);
  void Function(const std::string& key, const std::string& text, FakeValue* out);
  void Buckets(const std::string& key, const Json& json, size_t bounds, FakeBuckets* out);
  bool Count(const std::string& key, const Json& json, uint64_t* out);
  void Total(const std::string& key, const Json& json, std::optional<uint64_t>* out) {
    uint64_t count = 0;
    if (Count(key, json, &count)) *out = count;
  }
  void Success(const std::string& key, const Json& json, std::map<std::string, uint64_t>* out);
  void Loras(const std::string& key, const Json& json, std::vector<FakeLora>* out);
  void Lora(const std::string& key, const Json& json, FakeLora* out);
  void LoraTime(const std::string& key, const Json& json, double* out);
  // Each false when the key is another's.
  bool ReadKey(const std::string& key, const Json& json, FakeMetrics* out);
  bool ReadValue(const std::string& key, const Json& json, FakeMetrics* out);
  bool ReadBuckets(const std::string& key, const Json& json, FakeMetrics* out);
  bool ReadCounts(const std::string& key, const Json& json, FakeMetrics* out);

  const size_t token_bounds_;
  std::string fault_;
};

void Reader::Value(const std::string& key, const Json& json, double high, FakeValue* out) {
  FakeValue value;
  if (json.is_number()) {
    value.start = json.get<double>();
  } else if (!json.is_string()) {
    return Refuse(key, "must be a number, or a function such as \"ramp:0:10:5s\"");
  } else if (!ParseDouble(json.get_ref<const std::string&>(), &value.start)) {
    Function(key, json.get_ref<const std::string&>(), &value);
    if (!fault_.empty()) return;
  }
  for (double bound : {value.start, value.end}) {
    if (bound > high) return Refuse(key, fmt::format("must be from 0 to {}", high));
    if (bound < 0) return Refuse(key, "must be 0 or more");
  }
  *out = value;
}

void Reader::Function(const std::string& key, const std::string& text, FakeValue* out) {
  const auto parts = Parts(text);
  size_t shape = 0;
  while (shape < kShapes.size() && parts[0] != kShapes[shape]) ++shape;
  if (shape == kShapes.size() || parts.size() != 4) {
    return Refuse(key, fmt::format("must be a number or function:start:end:period, where function "
                                   "is one of {}",
                                   Joined(kShapes)));
  }
  out->shape = static_cast<FakeValue::Shape>(shape + 1);
  if (!ParseDouble(parts[1], &out->start) || !ParseDouble(parts[2], &out->end)) {
    return Refuse(key, "start and end of a function must be numbers, as in ramp:0:10:5s");
  }
  const auto period = ParseGoDuration(parts[3]);
  if (!period || period->count() <= 0) {
    return Refuse(key, "the period of a function must be a duration above 0, as in ramp:0:10:5s");
  }
  out->period = *period;
}

bool Reader::Count(const std::string& key, const Json& json, uint64_t* out) {
  if (!json.is_number_unsigned() || json.get<double>() > kMaxCount) {
    Refuse(key, "must be a whole number, 0 or more");
    return false;
  }
  *out = json.get<uint64_t>();
  return true;
}

void Reader::Buckets(const std::string& key, const Json& json, size_t bounds, FakeBuckets* out) {
  if (!json.is_array()) return Refuse(key, "must be a list of whole numbers, one a bucket");
  if (json.size() > bounds + 1) {
    return Refuse(
        key, fmt::format("has {} values; the histogram has {} buckets", json.size(), bounds + 1));
  }
  FakeBuckets counts;
  for (const Json& element : json) {
    uint64_t count = 0;
    if (!Count(fmt::format("{}[{}]", key, counts.size()), element, &count)) return;
    counts.push_back(count);
  }
  *out = std::move(counts);
}

void Reader::Success(const std::string& key, const Json& json,
                     std::map<std::string, uint64_t>* out) {
  if (!json.is_object()) return Refuse(key, "must be an object of finish reasons and counts");
  std::map<std::string, uint64_t> counts;
  for (const auto& [reason, count] : json.items()) {
    if (std::find(kReasons.begin(), kReasons.end(), reason) == kReasons.end()) {
      return Refuse(key, fmt::format("knows no finish reason \"{}\"; write one of {}", reason,
                                     Joined(kReasons)));
    }
    if (!Count(fmt::format("{}.{}", key, reason), count, &counts[reason])) return;
  }
  *out = std::move(counts);
}

void Reader::Lora(const std::string& key, const Json& json, FakeLora* out) {
  if (json.is_string()) {  // as the elements of a YAML file are written
    const auto inner = ParseBoundedJson(json.get_ref<const std::string&>());
    if (!inner || !inner->is_object()) return Refuse(key, "is a text that holds no JSON object");
    return Lora(key, *inner, out);
  }
  if (!json.is_object()) {
    return Refuse(key, "must be an object of running, waiting and timestamp");
  }
  for (const auto& [name, value] : json.items()) {
    const std::string field = fmt::format("{}.{}", key, name);
    if (name == "timestamp") {
      LoraTime(field, value, &out->timestamp);
    } else if (name != "running" && name != "waiting") {
      Refuse(field, "is unknown; write running, waiting and timestamp");
    } else if (!value.is_string()) {
      Refuse(field, "must be a text of names joined by commas");
    } else {
      (name == "running" ? out->running : out->waiting) = value.get<std::string>();
    }
  }
}

void Reader::LoraTime(const std::string& key, const Json& json, double* out) {
  if (!json.is_number() || json.get<double>() < 0) {
    return Refuse(key, "must be seconds since 1970");
  }
  *out = json.get<double>();
}

void Reader::Loras(const std::string& key, const Json& json, std::vector<FakeLora>* out) {
  if (!json.is_array()) return Refuse(key, "must be a list of objects");
  if (json.size() > kMaxLoras) return Refuse(key, fmt::format("has over {} elements", kMaxLoras));
  std::vector<FakeLora> loras(json.size());
  for (size_t i = 0; i < loras.size(); ++i) Lora(fmt::format("{}[{}]", key, i), json[i], &loras[i]);
  *out = std::move(loras);
}

bool Reader::ReadValue(const std::string& key, const Json& json, FakeMetrics* out) {
  if (key == "running-requests") return Value(key, json, kMaxCount, &out->running_requests), true;
  if (key == "waiting-requests") return Value(key, json, kMaxCount, &out->waiting_requests), true;
  if (key != "kv-cache-usage") return false;
  Value(key, json, 1, &out->kv_cache_usage);
  return true;
}

// Every histogram: its key, how many bounds it has (0: those of token counts), where it is kept.
struct BucketKey {
  const char* name;
  size_t bounds;
  FakeBuckets FakeMetrics::* field;
};
constexpr std::array<BucketKey, 11> kBucketKeys = {{
    {"ttft-buckets-values", kFirstTokenBounds, &FakeMetrics::time_to_first_token},
    {"tpot-buckets-values", kPerTokenBounds, &FakeMetrics::time_per_output_token},
    {"e2erl-buckets-values", kLatencyBounds, &FakeMetrics::e2e_latency},
    {"queue-time-buckets-values", kLatencyBounds, &FakeMetrics::queue_time},
    {"inf-time-buckets-values", kLatencyBounds, &FakeMetrics::inference_time},
    {"prefill-time-buckets-values", kLatencyBounds, &FakeMetrics::prefill_time},
    {"decode-time-buckets-values", kLatencyBounds, &FakeMetrics::decode_time},
    {"request-prompt-tokens", 0, &FakeMetrics::prompt_tokens},
    {"request-generation-tokens", 0, &FakeMetrics::generation_tokens},
    {"request-params-max-tokens", 0, &FakeMetrics::max_tokens},
    {"request-max-generation-tokens", 0, &FakeMetrics::max_generation_tokens},
}};

// Counters that begin at a number.
struct CountKey {
  const char* name;
  std::optional<uint64_t> FakeMetrics::* field;
};
constexpr std::array<CountKey, 4> kCountKeys = {{
    {"total-prompt-tokens", &FakeMetrics::prompt_tokens_total},
    {"total-generation-tokens", &FakeMetrics::generation_tokens_total},
    {"prefix-cache-hits", &FakeMetrics::prefix_cache_hits},
    {"prefix-cache-queries", &FakeMetrics::prefix_cache_queries},
}};

bool Reader::ReadBuckets(const std::string& key, const Json& json, FakeMetrics* out) {
  for (const BucketKey& bucket : kBucketKeys) {
    if (key != bucket.name) continue;
    Buckets(key, json, bucket.bounds == 0 ? token_bounds_ : bucket.bounds, &(out->*bucket.field));
    return true;
  }
  return false;
}

bool Reader::ReadCounts(const std::string& key, const Json& json, FakeMetrics* out) {
  for (const CountKey& count : kCountKeys) {
    if (key != count.name) continue;
    Total(key, json, &(out->*count.field));
    return true;
  }
  if (key != "request-success-total") return false;
  Success(key, json, &out->success_total);
  return true;
}

bool Reader::ReadKey(const std::string& key, const Json& json, FakeMetrics* out) {
  if (key == "loras") return Loras(key, json, &out->loras), true;
  return ReadValue(key, json, out) || ReadBuckets(key, json, out) || ReadCounts(key, json, out);
}

void Reader::Read(const Json& object, FakeMetrics* out) {
  FakeMetrics unchanged;
  for (const auto& [key, json] : object.items()) {
    if (json.is_null()) {  // says nothing, but of a key that there is
      Reader other(1);
      if (!other.ReadKey(key, json, &unchanged)) Refuse(key, "is no fake metric");
    } else if (!ReadKey(key, json, out)) {
      Refuse(key, "is no fake metric");
    }
  }
  if (out->prefix_cache_hits.has_value() != out->prefix_cache_queries.has_value()) {
    Refuse("prefix-cache-hits", "is given together with prefix-cache-queries or not at all");
  }
  if (out->prefix_cache_hits.value_or(0) > out->prefix_cache_queries.value_or(0)) {
    Refuse("prefix-cache-hits", "must not be above prefix-cache-queries");
  }
}

double Sine(double phase) {
  return std::sin(2 * std::numbers::pi * phase);
}

}  // namespace

double FakeValue::At(Duration since_start) const {
  if (shape == Shape::kFixed) return start;
  HR_CHECK(period.count() > 0 && since_start.count() >= 0);
  const auto share_of = [&](Duration time) {
    return static_cast<double>(time.count()) / static_cast<double>(period.count());
  };
  const double phase = share_of(since_start % period);
  switch (shape) {
    case Shape::kOscillate:
      // Rounding leads nowhere beyond the bounds.
      return std::clamp((start + end) / 2 + (end - start) / 2 * Sine(phase), std::min(start, end),
                        std::max(start, end));
    case Shape::kRamp:
      return since_start >= period ? end : start + phase * (end - start);
    case Shape::kRampReset:
      return start + phase * (end - start);
    default:
      return phase < 0.5 ? start : end;
  }
}

std::string FakeValue::Spell() const {
  if (shape == Shape::kFixed) return fmt::format("{}", start);
  return fmt::format("{}:{}:{}:{}", kShapes[static_cast<size_t>(shape) - 1], start, end,
                     SpellDuration(period));
}

std::string UpdateFakeMetrics(const Json& json, uint32_t max_model_len, FakeMetrics* metrics) {
  if (!json.is_object()) return "must be a JSON object of fake metrics";
  Reader reader(max_model_len);
  FakeMetrics next = *metrics;
  reader.Read(json, &next);
  if (reader.fault().empty()) *metrics = std::move(next);
  return reader.fault();
}

std::string ParseFakeMetrics(std::string_view text, uint32_t max_model_len, FakeMetrics* metrics) {
  const auto json = ParseBoundedJson(text);
  if (!json) return "is not JSON; write for example {\"running-requests\":3}";
  FakeMetrics fresh;
  const std::string fault = UpdateFakeMetrics(*json, max_model_len, &fresh);
  if (fault.empty()) *metrics = std::move(fresh);
  return fault;
}

Json FakeMetricsJson(const FakeMetrics& metrics) {
  Json json = Json::object();
  const auto set_value = [&json](const char* key, const FakeValue& value) {
    json[key] = value.shape == FakeValue::Shape::kFixed ? Json(value.start) : Json(value.Spell());
  };
  set_value("running-requests", metrics.running_requests);
  set_value("waiting-requests", metrics.waiting_requests);
  set_value("kv-cache-usage", metrics.kv_cache_usage);
  json["loras"] = Json::array();
  for (const FakeLora& lora : metrics.loras) {
    json["loras"].push_back(
        {{"running", lora.running}, {"waiting", lora.waiting}, {"timestamp", lora.timestamp}});
  }
  for (const BucketKey& bucket : kBucketKeys) json[bucket.name] = metrics.*bucket.field;
  json["request-success-total"] = metrics.success_total;
  for (const CountKey& count : kCountKeys) {
    if (metrics.*count.field) json[count.name] = *(metrics.*count.field);
  }
  return json;
}

}  // namespace headrace::sim
