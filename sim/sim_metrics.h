// The metrics of one rank: those of vLLM, by its names, and headrace_sim_* for what only a
// simulator knows. vLLM's names carry what was measured, headrace_sim_planned_* what the latency
// model wanted. What happens is told by one thread; Scrape is any thread's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/time.h"
#include "sim/metric_values.h"
#include "sim/request.h"

namespace headrace::sim {

// One request that was answered to its end.
struct FinishedRequest {
  FinishReason reason = FinishReason::kStop;
  uint64_t prompt_tokens = 0;
  uint64_t generation_tokens = 0;      // of all choices
  uint64_t max_generation_tokens = 0;  // of the longest choice
  std::optional<int64_t> max_tokens;   // as it asked
  std::optional<Duration> queued;      // absent: it did not wait
  Duration prefill{};
  Duration decode{};
  Duration total{};
  Duration planned_total{};
};

struct VllmSeries;

class SimMetrics {
 public:
  struct Options {
    std::string model;  // as it is displayed
    uint32_t max_model_len = 1024;
    uint32_t max_loras = 1;
    uint32_t block_tokens = 16;
    uint32_t blocks = 1024;
    double unix_s = 0;  // now
  };
  explicit SimMetrics(const Options& options);
  ~SimMetrics();
  SimMetrics(const SimMetrics&) = delete;
  SimMetrics& operator=(const SimMetrics&) = delete;

  void Running(int64_t change);
  void Waiting(int64_t change);
  void CacheUsed(double share);
  void CacheAsked(uint64_t tokens, uint64_t hit_tokens);
  void Prefilled(uint64_t prompt_tokens);
  void FirstToken(Duration planned, Duration measured);
  void NextToken(Duration planned, Duration measured);
  // Of each request one of these three.
  void Finished(const FinishedRequest& request);
  void Failed();
  void Aborted();
  // Names of adapters, and when it was so.
  void Loras(std::span<const std::string> running, std::span<const std::string> waiting,
             double unix_s);
  void EventGaps(uint64_t total);  // since the start
  void WrongBytes(uint64_t count);

  // Shows these instead; counters go on from them. nullopt: what really happens, also meanwhile.
  void SetFake(const std::optional<MetricValues>& values);
  void SetFakeGauges(const GaugeValues& gauges);  // changes nothing when nothing is made up

  std::string Scrape();  // any thread
  // For metrics of others that are shown beside these, made up or not.
  Metrics* own() { return own_.get(); }

 private:
  friend struct VllmSeries;
  enum class Total : uint8_t { kPromptTokens, kGenerationTokens, kCacheHits, kCacheQueries };
  static constexpr size_t kTotals = 4;
  void Count(Total total, uint64_t amount);

  const Options options_;
  const std::unique_ptr<Metrics> own_;
  Counter *succeeded_, *failed_, *aborted_, *gaps_, *wrong_bytes_;
  Histogram *planned_first_, *planned_next_, *planned_total_;

  // The thread that tells.
  const std::shared_ptr<VllmSeries> real_;
  std::shared_ptr<VllmSeries> fake_;  // null: nothing is made up
  int64_t running_ = 0;
  int64_t waiting_ = 0;

  std::mutex mutex_;
  std::shared_ptr<VllmSeries> shown_;  // by mutex_; read by those who scrape
};

}  // namespace headrace::sim
