// Counters, gauges and histograms behind prometheus-cpp core; /metrics is Scrape(). Names are
// headrace_<thing>_<unit>[_total], or those of a program that this one stands in for. Updating is
// wait-free; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace headrace {

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double amount) = 0;
  // For totals that another object counts: sets the counter to a value that never falls.
  virtual void SetTotal(double total) = 0;
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
};
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
  // The same as often as said, at the cost of one.
  virtual void Observe(double value, uint64_t times) = 0;
};

using Labels = std::map<std::string, std::string>;

// Owns what it hands out. The same name and labels give the same object.
class Metrics {
 public:
  static std::unique_ptr<Metrics> Create();
  virtual ~Metrics() = default;

  virtual Counter* GetCounter(const std::string& name, const std::string& help,
                              const Labels& labels = {}) = 0;
  virtual Gauge* GetGauge(const std::string& name, const std::string& help,
                          const Labels& labels = {}) = 0;
  virtual Histogram* GetHistogram(const std::string& name, const std::string& help,
                                  std::vector<double> bounds, const Labels& labels = {}) = 0;
  // Takes away every series that has exactly these labels, for things that are gone. What was
  // handed out for them is not to be used any more.
  virtual void Forget(const Labels& labels) = 0;
  // Called at the start of each Scrape, on the scraping thread.
  virtual void OnScrape(std::function<void()> callback) = 0;
  virtual std::string Scrape() = 0;  // text exposition format 0.0.4
};

}  // namespace headrace
