// The index's numbers at /metrics: llm-d's names as its dashboards know them, and ours. Made once;
// observed from any thread, read by each scrape.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/metrics.h"
#include "indexer/index_numbers.h"
#include "indexer/service.h"

namespace headrace::server {

class IndexMetrics final : public indexer::ServiceObserver {
 public:
  // The metrics outlive this.
  explicit IndexMetrics(Metrics* metrics);

  void Scored(double seconds) override;
  void Rendered(const std::string& model, double seconds) override;
  void Tokenized(const std::string& model, size_t tokens, double seconds) override;

  // Before each scrape.
  void Update(const indexer::IndexNumbers& numbers, Time now);

 private:
  void UpdateRemote(const indexer::RemoteNumbers& remote);
  void UpdateLlmd(const indexer::IndexNumbers& numbers);
  void UpdatePod(const indexer::PodNumbers& pod);
  void ForgetPods();
  void UpdateIndex(const indexer::IndexNumbers& numbers);
  void UpdateStreams(const indexer::PodNumbers& pod);
  void UpdateSources(const indexer::IndexNumbers& numbers);
  void SetTotal(const char* name, const char* help, const Labels& labels, uint64_t value);
  void SetGauge(const char* name, const char* help, double value);

  Metrics* const metrics_;
  Histogram* const lookup_seconds_;
  uint64_t stored_ = 0;  // of pods that are gone too: totals do not fall
  uint64_t removed_ = 0;
  struct Last {
    uint64_t batches = 0, stored = 0, removed = 0;
    uint64_t seen = 0;  // the update that told of it
  };
  uint64_t updates_ = 0;
  std::map<std::string, Last> last_;  // by pod; the scraping thread's
};

}  // namespace headrace::server
