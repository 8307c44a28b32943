#include "server/index_metrics.h"

#include <gtest/gtest.h>

#include <utility>

namespace headrace::server {
namespace {

struct Fixture {
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  IndexMetrics shown{metrics.get()};

  bool Shows(const std::string& line) const {
    const std::string text = metrics->Scrape();
    return text.find("\n" + line + "\n") != std::string::npos;
  }
};

indexer::IndexNumbers Numbers(uint64_t stored, uint64_t removed, std::string pod = "a") {
  indexer::IndexNumbers numbers;
  numbers.index = {.blocks = 10, .bytes = 320};
  numbers.scores = {.requests = 3, .keys_hit = 12};
  numbers.pods.push_back({.name = std::move(pod), .state = indexer::PodState::kUncertain});
  numbers.pods[0].counters = {
      .events = 5, .stored_blocks = stored, .removed_blocks = removed, .waiting = 6};
  numbers.pods[0].streams = {.gaps = 4, .replays = 3};
  numbers.sources.streams = {.gaps = 2, .replays = 1};
  return numbers;
}

TEST(IndexMetrics, HaveLlmdsNames) {
  Fixture f;
  f.shown.Update(Numbers(7, 2), Time());
  EXPECT_TRUE(f.Shows("kvcache_index_admissions_total 7"));
  EXPECT_TRUE(f.Shows("kvcache_index_evictions_total 2"));
  EXPECT_TRUE(f.Shows("kvcache_index_lookup_requests_total 3"));
  EXPECT_TRUE(f.Shows("kvcache_index_lookup_hits_total 12"));
  EXPECT_TRUE(f.Shows("kvcache_index_max_pod_hit_count_total 12"));
  f.shown.Scored(0.00002);
  f.shown.Rendered("m", 0.001);
  f.shown.Tokenized("m", 42, 0.001);
  EXPECT_TRUE(f.Shows("kvcache_index_lookup_latency_seconds_count 1"));
  EXPECT_TRUE(f.Shows(
      "kvcache_tokenization_render_chat_template_latency_seconds_count{tokenizer=\"m\"} 1"));
  EXPECT_TRUE(
      f.Shows("kvcache_tokenization_tokenization_latency_seconds_count{tokenizer=\"m\"} 1"));
  EXPECT_TRUE(f.Shows("kvcache_tokenization_tokenized_tokens_total{tokenizer=\"m\"} 42"));
}

TEST(IndexMetrics, TellOfPodsAndPublishers) {
  Fixture f;
  f.shown.Update(Numbers(7, 2), Time());
  EXPECT_TRUE(f.Shows("headrace_index_bytes_per_block 32"));
  EXPECT_TRUE(f.Shows("headrace_index_events_total{pod=\"a\"} 5"));
  EXPECT_TRUE(f.Shows("headrace_index_uncertain{pod=\"a\"} 1"));
  EXPECT_TRUE(f.Shows("headrace_index_gaps_total 2"));
  EXPECT_TRUE(f.Shows("headrace_index_replays_total 1"));
  EXPECT_TRUE(f.Shows("headrace_index_pod_gaps_total{pod=\"a\"} 4"));
  EXPECT_TRUE(f.Shows("headrace_index_pod_replays_total{pod=\"a\"} 3"));
  EXPECT_TRUE(f.Shows("headrace_index_waiting{pod=\"a\"} 6"));
}

TEST(IndexMetrics, ForgetPodsThatAreGone) {
  Fixture f;
  f.shown.Update(Numbers(7, 2), Time());
  f.shown.Update(Numbers(1, 1, "b"), Time());
  EXPECT_EQ(f.metrics->Scrape().find("{pod=\"a\"}"), std::string::npos);
  EXPECT_TRUE(f.Shows("headrace_index_events_total{pod=\"b\"} 5"));
  EXPECT_TRUE(f.Shows("kvcache_index_admissions_total 8"));
}

TEST(IndexMetrics, BeginAnewWithAPodOfTheSameName) {
  Fixture f;
  indexer::IndexNumbers numbers = Numbers(7, 2);
  numbers.pods[0].counters.batches = 9;
  f.shown.Update(numbers, Time());
  numbers.pods[0].counters = {.batches = 1, .events = 2};
  f.shown.Update(numbers, Time());
  EXPECT_TRUE(f.Shows("headrace_index_events_total{pod=\"a\"} 2"));
}

TEST(IndexMetrics, TotalsGoOnWhenAPodBeginsAnew) {
  Fixture f;
  f.shown.Update(Numbers(7, 2), Time());
  f.shown.Update(Numbers(3, 0), Time());
  EXPECT_TRUE(f.Shows("kvcache_index_admissions_total 10"));
  f.shown.Update(Numbers(4, 1), Time());
  EXPECT_TRUE(f.Shows("kvcache_index_admissions_total 11"));
  EXPECT_TRUE(f.Shows("kvcache_index_evictions_total 3"));
}

}  // namespace
}  // namespace headrace::server
