#include "sim/sim_metrics.h"

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace headrace::sim {
namespace {

using Kind = MetricHistogram;

constexpr std::array kReasons = {"stop", "length", "tool_calls", "remote_decode",
                                 "cache_threshold"};

struct HistogramText {
  Kind kind;
  const char* name;
  const char* help;
  enum Bounds : uint8_t { kFirst, kToken, kRequest, kCounts } bounds;
};
constexpr HistogramText kHistograms[] = {
    {Kind::kTimeToFirstToken, "vllm:time_to_first_token_seconds",
     "From the start of a request to its first token", HistogramText::kFirst},
    {Kind::kTimePerOutputToken, "vllm:time_per_output_token_seconds",
     "Between two tokens of a choice", HistogramText::kToken},
    {Kind::kInterTokenLatency, "vllm:inter_token_latency_seconds", "Between two tokens of a choice",
     HistogramText::kToken},
    {Kind::kRequestTimePerOutputToken, "vllm:request_time_per_output_token_seconds",
     "The mean time of a token behind the first, one a request", HistogramText::kToken},
    {Kind::kEndToEnd, "vllm:e2e_request_latency_seconds", "Of whole requests",
     HistogramText::kRequest},
    {Kind::kQueue, "vllm:request_queue_time_seconds", "That requests waited, of those that did",
     HistogramText::kRequest},
    {Kind::kInference, "vllm:request_inference_time_seconds", "That requests ran",
     HistogramText::kRequest},
    {Kind::kPrefill, "vllm:request_prefill_time_seconds", "Of requests, up to the first token",
     HistogramText::kRequest},
    {Kind::kDecode, "vllm:request_decode_time_seconds", "Of requests, from the first token on",
     HistogramText::kRequest},
    {Kind::kPromptTokens, "vllm:request_prompt_tokens", "Tokens of a request's prompts",
     HistogramText::kCounts},
    {Kind::kGenerationTokens, "vllm:request_generation_tokens", "Tokens generated for a request",
     HistogramText::kCounts},
    {Kind::kParamsMaxTokens, "vllm:request_params_max_tokens", "The max_tokens of requests",
     HistogramText::kCounts},
    {Kind::kMaxGenerationTokens, "vllm:max_num_generation_tokens",
     "Tokens of a request's longest choice", HistogramText::kCounts},
};
static_assert(std::size(kHistograms) == kMetricHistograms);

std::vector<double> FirstTokenBounds() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
          1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
}
std::vector<double> TokenBounds() {
  return {.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
}
std::vector<double> RequestBounds() {
  return {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
          30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}
// 1, 2, 5, 10, 20, 50, ... up to `most`.
std::vector<double> CountBounds(uint32_t most) {
  std::vector<double> bounds;
  for (uint64_t power = 1; power <= most; power *= 10) {
    for (const uint64_t digit : {1, 2, 5}) {
      if (digit * power <= most) bounds.push_back(static_cast<double>(digit * power));
    }
  }
  return bounds;
}
std::vector<double> BoundsOf(HistogramText::Bounds bounds, uint32_t max_model_len) {
  switch (bounds) {
    case HistogramText::kFirst:
      return FirstTokenBounds();
    case HistogramText::kToken:
      return TokenBounds();
    case HistogramText::kRequest:
      return RequestBounds();
    case HistogramText::kCounts:
      return CountBounds(max_model_len);
  }
  HR_CHECK(false);
}

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string Joined(std::span<const std::string> names) {
  std::string text;
  for (const std::string& name : names) {
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

}  // namespace

// vLLM's metrics in a registry of their own, so that made up ones can take their place whole.
struct VllmSeries {
  explicit VllmSeries(const SimMetrics::Options& options);

  Histogram* histogram(Kind kind) const { return histograms[static_cast<size_t>(kind)]; }
  void SetGauges(const GaugeValues& values) const {
    running->Set(values.running);
    waiting->Set(values.waiting);
    kv_cache_usage->Set(values.kv_cache_usage);
  }
  void ShowLora(const std::string& running_names, const std::string& waiting_names, double unix_s);
  void HideLora(const Labels& labels) const { metrics->Forget(labels); }
  Labels LoraLabels(const std::string& running_names, const std::string& waiting_names) const {
    return {{"max_lora", max_loras},
            {"running_lora_adapters", running_names},
            {"waiting_lora_adapters", waiting_names}};
  }
  Counter* Success(const std::string& reason) const {
    return metrics->GetCounter("vllm:request_success_total", "Requests that were answered",
                               {{"model_name", model}, {"finish_reason", reason}});
  }
  void Take(const MetricValues& values);

  const std::string model;
  const std::string max_loras;
  const std::unique_ptr<Metrics> metrics = Metrics::Create();
  Gauge *running, *waiting, *kv_cache_usage;
  using Total = SimMetrics::Total;
  Counter*& total(Total which) { return totals[static_cast<size_t>(which)]; }
  std::array<Counter*, SimMetrics::kTotals> totals{};
  std::array<Counter*, kReasons.size()> success{};
  std::array<Histogram*, kMetricHistograms> histograms{};
  std::array<std::vector<double>, kMetricHistograms> bounds;
  Labels lora;  // that are shown of what really happens
};

VllmSeries::VllmSeries(const SimMetrics::Options& options)
    : model(options.model), max_loras(std::to_string(options.max_loras)) {
  const Labels of_model = {{"model_name", model}};
  running = metrics->GetGauge("vllm:num_requests_running", "Requests that run", of_model);
  waiting = metrics->GetGauge("vllm:num_requests_waiting", "Requests that wait", of_model);
  kv_cache_usage = metrics->GetGauge("vllm:kv_cache_usage_perc",
                                     "Share of the KV cache that requests use, 0 to 1", of_model);
  total(Total::kPromptTokens) =
      metrics->GetCounter("vllm:prompt_tokens_total", "Tokens of prompts, prefilled", of_model);
  total(Total::kGenerationTokens) =
      metrics->GetCounter("vllm:generation_tokens_total", "Tokens that were generated", of_model);
  total(Total::kCacheHits) = metrics->GetCounter("vllm:prefix_cache_hits_total",
                                                 "Tokens of prompts that the cache had", of_model);
  total(Total::kCacheQueries) = metrics->GetCounter(
      "vllm:prefix_cache_queries_total", "Tokens of prompts that it was asked for", of_model);
  metrics
      ->GetGauge("vllm:cache_config_info", "What the KV cache is made of",
                 {{"block_size", std::to_string(options.block_tokens)},
                  {"num_gpu_blocks", std::to_string(options.blocks)}})
      ->Set(1);
  for (size_t i = 0; i < kReasons.size(); ++i) success[i] = Success(kReasons[i]);
  for (const HistogramText& text : kHistograms) {
    const auto at = static_cast<size_t>(text.kind);
    bounds[at] = BoundsOf(text.bounds, options.max_model_len);
    histograms[at] = metrics->GetHistogram(text.name, text.help, bounds[at], of_model);
  }
}

void VllmSeries::ShowLora(const std::string& running_names, const std::string& waiting_names,
                          double unix_s) {
  metrics
      ->GetGauge("vllm:lora_requests_info", "When these adapters last ran and waited",
                 LoraLabels(running_names, waiting_names))
      ->Set(unix_s);
}

void VllmSeries::Take(const MetricValues& values) {
  SetGauges(values.gauges);
  for (const LoraValues& it : values.loras) ShowLora(it.running, it.waiting, it.timestamp);
  for (const auto& [reason, count] : values.request_success) {
    Success(reason)->Add(static_cast<double>(count));
  }
  total(Total::kPromptTokens)->Add(static_cast<double>(values.prompt_tokens));
  total(Total::kGenerationTokens)->Add(static_cast<double>(values.generation_tokens));
  total(Total::kCacheHits)->Add(static_cast<double>(values.prefix_cache_hits));
  total(Total::kCacheQueries)->Add(static_cast<double>(values.prefix_cache_queries));
  for (size_t at = 0; at < kMetricHistograms; ++at) {
    const auto& upper = bounds[at];
    const size_t count = std::min(values.buckets[at].size(), upper.size() + 1);
    for (size_t i = 0; i < count; ++i) {
      const double low = i == 0 ? 0 : upper[i - 1];
      const double value = i < upper.size() ? (low + upper[i]) / 2 : 2 * low;
      if (values.buckets[at][i] > 0) histograms[at]->Observe(value, values.buckets[at][i]);
    }
  }
}

SimMetrics::SimMetrics(const Options& options)
    : options_(options),
      own_(Metrics::Create()),
      real_(std::make_shared<VllmSeries>(options)),
      shown_(real_) {
  const auto outcome = [this](const char* name) {
    return own_->GetCounter("headrace_sim_requests_total", "Requests, by how they ended",
                            {{"outcome", name}});
  };
  succeeded_ = outcome("success");
  failed_ = outcome("failure");
  aborted_ = outcome("aborted");
  gaps_ = own_->GetCounter("headrace_sim_kv_event_gaps_total",
                           "Messages of KV events that only a replay brings");
  wrong_bytes_ = own_->GetCounter("headrace_sim_wrong_bytes_total",
                                  "Bytes of loaded KV that were not those that were saved");
  planned_first_ = own_->GetHistogram("headrace_sim_planned_time_to_first_token_seconds",
                                      "As the latency model wants it", FirstTokenBounds());
  planned_next_ = own_->GetHistogram("headrace_sim_planned_inter_token_latency_seconds",
                                     "As the latency model wants it", TokenBounds());
  planned_total_ = own_->GetHistogram("headrace_sim_planned_e2e_request_latency_seconds",
                                      "As the latency model wants it", RequestBounds());
  Loras({}, {}, options.unix_s);
}

SimMetrics::~SimMetrics() = default;

void SimMetrics::Count(Total total, uint64_t amount) {
  const auto value = static_cast<double>(amount);
  real_->total(total)->Add(value);
  if (fake_ != nullptr) fake_->total(total)->Add(value);
}

void SimMetrics::Running(int64_t change) {
  running_ += change;
  HR_CHECK(running_ >= 0);
  real_->running->Set(static_cast<double>(running_));
}

void SimMetrics::Waiting(int64_t change) {
  waiting_ += change;
  HR_CHECK(waiting_ >= 0);
  real_->waiting->Set(static_cast<double>(waiting_));
}

void SimMetrics::CacheUsed(double share) {
  real_->kv_cache_usage->Set(share);
}

void SimMetrics::CacheAsked(uint64_t tokens, uint64_t hit_tokens) {
  Count(Total::kCacheQueries, tokens);
  Count(Total::kCacheHits, hit_tokens);
}

void SimMetrics::Prefilled(uint64_t prompt_tokens) {
  Count(Total::kPromptTokens, prompt_tokens);
}

void SimMetrics::FirstToken(Duration planned, Duration measured) {
  planned_first_->Observe(Seconds(planned));
  real_->histogram(Kind::kTimeToFirstToken)->Observe(Seconds(measured));
  Count(Total::kGenerationTokens, 1);
}

void SimMetrics::NextToken(Duration planned, Duration measured) {
  planned_next_->Observe(Seconds(planned));
  const double seconds = Seconds(measured);
  real_->histogram(Kind::kTimePerOutputToken)->Observe(seconds);
  real_->histogram(Kind::kInterTokenLatency)->Observe(seconds);
  Count(Total::kGenerationTokens, 1);
}

void SimMetrics::Finished(const FinishedRequest& request) {
  succeeded_->Add(1);
  const auto reason = static_cast<size_t>(request.reason);
  real_->success[reason]->Add(1);
  if (fake_ != nullptr) fake_->success[reason]->Add(1);
  planned_total_->Observe(Seconds(request.planned_total));
  const auto observe = [this](Kind kind, double value) { real_->histogram(kind)->Observe(value); };
  observe(Kind::kEndToEnd, Seconds(request.total));
  if (request.queued) observe(Kind::kQueue, Seconds(*request.queued));
  observe(Kind::kInference, Seconds(request.prefill + request.decode));
  observe(Kind::kPrefill, Seconds(request.prefill));
  observe(Kind::kDecode, Seconds(request.decode));
  observe(Kind::kPromptTokens, static_cast<double>(request.prompt_tokens));
  observe(Kind::kGenerationTokens, static_cast<double>(request.generation_tokens));
  observe(Kind::kMaxGenerationTokens, static_cast<double>(request.max_generation_tokens));
  if (request.max_tokens) {
    observe(Kind::kParamsMaxTokens, static_cast<double>(*request.max_tokens));
  }
  if (request.max_generation_tokens > 1) {
    const auto behind = static_cast<double>(request.max_generation_tokens - 1);
    observe(Kind::kRequestTimePerOutputToken, Seconds(request.decode) / behind);
  }
}

void SimMetrics::Failed() {
  failed_->Add(1);
}

void SimMetrics::Aborted() {
  aborted_->Add(1);
}

void SimMetrics::Loras(std::span<const std::string> running, std::span<const std::string> waiting,
                       double unix_s) {
  const std::string running_names = Joined(running);
  const std::string waiting_names = Joined(waiting);
  real_->ShowLora(running_names, waiting_names, unix_s);
  Labels labels = real_->LoraLabels(running_names, waiting_names);
  if (labels == real_->lora) return;
  if (!real_->lora.empty()) real_->HideLora(real_->lora);
  real_->lora = std::move(labels);
}

void SimMetrics::EventGaps(uint64_t total) {
  gaps_->SetTotal(static_cast<double>(total));
}

void SimMetrics::WrongBytes(uint64_t count) {
  wrong_bytes_->Add(static_cast<double>(count));
}

void SimMetrics::SetFake(const std::optional<MetricValues>& values) {
  fake_ = nullptr;
  if (values) {
    fake_ = std::make_shared<VllmSeries>(options_);
    fake_->Take(*values);
  }
  const std::lock_guard lock(mutex_);
  shown_ = fake_ != nullptr ? fake_ : real_;
}

void SimMetrics::SetFakeGauges(const GaugeValues& gauges) {
  if (fake_ != nullptr) fake_->SetGauges(gauges);
}

std::string SimMetrics::Scrape() {
  std::shared_ptr<VllmSeries> shown;
  {
    const std::lock_guard lock(mutex_);
    shown = shown_;
  }
  return shown->metrics->Scrape() + own_->Scrape();
}

}  // namespace headrace::sim
