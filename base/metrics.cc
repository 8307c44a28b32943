#include "base/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <mutex>
#include <utility>

#include "base/result.h"

namespace headrace {
namespace {

// The values live in atomics of our own: prometheus-cpp's histogram takes a mutex for each
// observation. Its model and its serializer make the text.

void AddTo(std::atomic<double>* sum, double amount) {
  sum->fetch_add(amount, std::memory_order_relaxed);
}

class CounterCell final : public Counter {
 public:
  void Add(double amount) override {
    HR_CHECK(amount >= 0);  // also refuses NaN
    AddTo(&value_, amount);
  }
  void SetTotal(double total) override {
    double value = value_.load(std::memory_order_relaxed);
    while (total > value &&
           !value_.compare_exchange_weak(value, total, std::memory_order_relaxed)) {
    }
  }
  void Collect(prometheus::ClientMetric* metric) const { metric->counter.value = value_.load(); }

 private:
  std::atomic<double> value_ = 0;
};

class GaugeCell final : public Gauge {
 public:
  void Set(double value) override { value_.store(value, std::memory_order_relaxed); }
  void Collect(prometheus::ClientMetric* metric) const { metric->gauge.value = value_.load(); }

 private:
  std::atomic<double> value_ = 0;
};

class HistogramCell final : public Histogram {
 public:
  explicit HistogramCell(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void Observe(double value) override { Observe(value, 1); }
  void Observe(double value, uint64_t times) override {
    if (std::isnan(value)) return;  // belongs to no bucket and would spoil the sum for good
    auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
    counts_[static_cast<size_t>(bucket)].fetch_add(times, std::memory_order_relaxed);
    AddTo(&sum_, value * static_cast<double>(times));
  }
  void Collect(prometheus::ClientMetric* metric) const {
    uint64_t count = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      count += counts_[i].load(std::memory_order_relaxed);
      double bound = i < bounds_.size() ? bounds_[i] : INFINITY;
      metric->histogram.bucket.push_back({count, bound});
    }
    metric->histogram.sample_count = count;  // equal to the last bucket, as the format demands
    metric->histogram.sample_sum = sum_.load(std::memory_order_relaxed);
  }
  const std::vector<double>& bounds() const { return bounds_; }

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<double> sum_ = 0;
};

// All series of one name.
template <typename Cell>
struct Family {
  std::string help;
  std::map<Labels, std::unique_ptr<Cell>> cells;
};
template <typename Cell>
using Families = std::map<std::string, Family<Cell>>;

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Names are in the code, so a wrong one is a bug, not input. Values of labels may be anything.
bool IsName(const std::string& name) {
  return !name.empty() && IsLetter(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
    return IsLetter(c) || (c >= '0' && c <= '9');
  });
}

// Engines put their own name and a colon before a metric's.
std::string WithoutColons(std::string name) {
  std::replace(name.begin(), name.end(), ':', '_');
  return name;
}

template <typename Cell>
void Collect(const Families<Cell>& families, prometheus::MetricType type,
             std::vector<prometheus::MetricFamily>* out) {
  for (const auto& [name, family] : families) {
    prometheus::MetricFamily& made = out->emplace_back();
    made.name = name;
    made.help = family.help;
    made.type = type;
    for (const auto& [labels, cell] : family.cells) {
      prometheus::ClientMetric& metric = made.metric.emplace_back();
      for (const auto& [key, value] : labels) metric.label.push_back({key, value});
      cell->Collect(&metric);
    }
  }
}

class PrometheusMetrics final : public Metrics {
 public:
  Counter* GetCounter(const std::string& name, const std::string& help,
                      const Labels& labels) override {
    std::lock_guard lock(mutex_);
    HR_CHECK(!gauges_.contains(name) && !histograms_.contains(name));
    return Get(&counters_, name, help, labels);
  }
  Gauge* GetGauge(const std::string& name, const std::string& help, const Labels& labels) override {
    std::lock_guard lock(mutex_);
    HR_CHECK(!counters_.contains(name) && !histograms_.contains(name));
    return Get(&gauges_, name, help, labels);
  }
  Histogram* GetHistogram(const std::string& name, const std::string& help,
                          std::vector<double> bounds, const Labels& labels) override {
    std::lock_guard lock(mutex_);
    HR_CHECK(!counters_.contains(name) && !gauges_.contains(name));
    HR_CHECK(!labels.contains("le"));
    HR_CHECK(std::is_sorted(bounds.begin(), bounds.end(), std::less_equal<>()));
    HistogramCell* cell = Get(&histograms_, name, help, labels, bounds);
    HR_CHECK(cell->bounds() == bounds);
    return cell;
  }
  void Forget(const Labels& labels) override {
    HR_CHECK(!labels.empty());
    std::lock_guard lock(mutex_);
    for (auto& [name, family] : counters_) family.cells.erase(labels);
    for (auto& [name, family] : gauges_) family.cells.erase(labels);
    for (auto& [name, family] : histograms_) family.cells.erase(labels);
  }
  void OnScrape(std::function<void()> callback) override {
    HR_CHECK(callback != nullptr);
    std::lock_guard lock(mutex_);
    callbacks_.push_back(std::move(callback));
  }
  std::string Scrape() override;

 private:
  // With mutex_ held.
  template <typename Cell, typename... Args>
  static Cell* Get(Families<Cell>* families, const std::string& name, const std::string& help,
                   const Labels& labels, Args&&... args) {
    HR_CHECK(IsName(WithoutColons(name)));
    for (const auto& label : labels) HR_CHECK(IsName(label.first));
    Family<Cell>& family = (*families)[name];
    if (family.cells.empty()) family.help = help;
    std::unique_ptr<Cell>& cell = family.cells[labels];
    if (cell == nullptr) cell = std::make_unique<Cell>(std::forward<Args>(args)...);
    return cell.get();
  }

  std::mutex scrape_mutex_;  // one scrape at a time; taken before mutex_
  std::mutex mutex_;
  Families<CounterCell> counters_;  // by mutex_, as all below
  Families<GaugeCell> gauges_;
  Families<HistogramCell> histograms_;
  std::deque<std::function<void()>> callbacks_;  // only grows, and a deque keeps them in place
};

std::string PrometheusMetrics::Scrape() {
  std::lock_guard scraping(scrape_mutex_);
  size_t callbacks;
  {
    std::lock_guard lock(mutex_);
    callbacks = callbacks_.size();
  }
  for (size_t i = 0; i < callbacks; ++i) {
    const std::function<void()>* callback;
    {
      std::lock_guard lock(mutex_);
      callback = &callbacks_[i];
    }
    (*callback)();  // without mutex_: it may ask for a new gauge
  }
  std::vector<prometheus::MetricFamily> families;
  {
    std::lock_guard lock(mutex_);
    Collect(counters_, prometheus::MetricType::Counter, &families);
    Collect(gauges_, prometheus::MetricType::Gauge, &families);
    Collect(histograms_, prometheus::MetricType::Histogram, &families);
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace

std::unique_ptr<Metrics> Metrics::Create() {
  return std::make_unique<PrometheusMetrics>();
}

}  // namespace headrace
