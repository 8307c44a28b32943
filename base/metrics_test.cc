#include "base/metrics.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

namespace headrace {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, WritesCountersAndGaugesAsText) {
  auto metrics = Metrics::Create();
  metrics->GetCounter("headrace_saves_total", "Blocks saved", {{"tier", "pool"}})->Add(3);
  metrics->GetGauge("headrace_pool_bytes", "Pool size")->Set(1024);
  std::string text = metrics->Scrape();
  EXPECT_TRUE(Has(text, "# HELP headrace_saves_total Blocks saved")) << text;
  EXPECT_TRUE(Has(text, "# TYPE headrace_saves_total counter")) << text;
  EXPECT_TRUE(Has(text, "headrace_saves_total{tier=\"pool\"} 3")) << text;
  EXPECT_TRUE(Has(text, "# TYPE headrace_pool_bytes gauge")) << text;
  EXPECT_TRUE(Has(text, "headrace_pool_bytes 1024")) << text;
}

TEST(Metrics, EscapesLabelValues) {
  auto metrics = Metrics::Create();
  metrics->GetGauge("headrace_x", "x", {{"model", "a\"b\\c\nd"}})->Set(1);
  EXPECT_TRUE(Has(metrics->Scrape(), "headrace_x{model=\"a\\\"b\\\\c\\nd\"} 1"));
}

TEST(Metrics, GivesTheSameObjectForTheSameNameAndLabels) {
  auto metrics = Metrics::Create();
  Counter* one = metrics->GetCounter("headrace_n_total", "n", {{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(one, metrics->GetCounter("headrace_n_total", "n", {{"b", "2"}, {"a", "1"}}));
  EXPECT_NE(one, metrics->GetCounter("headrace_n_total", "n", {{"a", "1"}, {"b", "3"}}));
}

TEST(Metrics, KeepsTheTotalOfAnotherCounterFromFalling) {
  auto metrics = Metrics::Create();
  Counter* counter = metrics->GetCounter("headrace_n_total", "n");
  counter->SetTotal(10);
  counter->SetTotal(7);
  EXPECT_TRUE(Has(metrics->Scrape(), "headrace_n_total 10"));
  counter->SetTotal(11);
  counter->SetTotal(kNan);
  EXPECT_TRUE(Has(metrics->Scrape(), "headrace_n_total 11"));
}

TEST(Metrics, CountsEachObservationInEveryBucketAboveIt) {
  auto metrics = Metrics::Create();
  Histogram* histogram = metrics->GetHistogram("headrace_t_seconds", "t", {0.1, 1, 10});
  for (double value : {0.05, 0.1, 0.5, 100.0, kNan}) histogram->Observe(value);
  std::string text = metrics->Scrape();
  EXPECT_TRUE(Has(text, "# TYPE headrace_t_seconds histogram")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_bucket{le=\"0.1\"} 2")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_bucket{le=\"1\"} 3")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_bucket{le=\"10\"} 3")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_bucket{le=\"+Inf\"} 4")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_count 4")) << text;
}

TEST(Metrics, CountsManyEqualObservationsAtOnce) {
  auto metrics = Metrics::Create();
  Histogram* histogram = metrics->GetHistogram("headrace_t_seconds", "t", {1, 10});
  histogram->Observe(2, 1000);
  histogram->Observe(0.5);
  std::string text = metrics->Scrape();
  EXPECT_TRUE(Has(text, "headrace_t_seconds_bucket{le=\"1\"} 1")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_bucket{le=\"10\"} 1001")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_sum 2000.5")) << text;
}

TEST(Metrics, TakesNamesWithAColon) {
  auto metrics = Metrics::Create();
  metrics->GetGauge("engine:requests", "r")->Set(2);
  EXPECT_TRUE(Has(metrics->Scrape(), "engine:requests 2"));
}

TEST(Metrics, CallsBackBeforeEachScrape) {
  auto metrics = Metrics::Create();
  int scrapes = 0;
  metrics->OnScrape([&] {
    ++scrapes;
    metrics->GetGauge("headrace_scrapes", "made while scraping")->Set(scrapes);
  });
  EXPECT_TRUE(Has(metrics->Scrape(), "headrace_scrapes 1"));
  EXPECT_TRUE(Has(metrics->Scrape(), "headrace_scrapes 2"));
}

TEST(Metrics, LosesNothingWhenThreadsUpdateAtOnce) {
  auto metrics = Metrics::Create();
  Counter* counter = metrics->GetCounter("headrace_n_total", "n");
  Histogram* histogram = metrics->GetHistogram("headrace_t_seconds", "t", {1});
  auto work = [&] {
    for (int i = 0; i < 10000; ++i) {
      counter->Add(1);
      histogram->Observe(2);
    }
  };
  std::thread one(work), two(work);
  for (int i = 0; i < 20; ++i) EXPECT_NE(metrics->Scrape(), "");
  one.join();
  two.join();
  std::string text = metrics->Scrape();
  EXPECT_TRUE(Has(text, "headrace_n_total 20000")) << text;
  EXPECT_TRUE(Has(text, "headrace_t_seconds_sum 40000")) << text;
}

TEST(MetricsDeathTest, RefusesBugsInTheCallersCode) {
  auto metrics = Metrics::Create();
  metrics->GetCounter("headrace_n_total", "n");
  EXPECT_DEATH(metrics->GetGauge("headrace_n_total", "n"), "check failed");
  EXPECT_DEATH(metrics->GetGauge("bad name", "n"), "check failed");
  EXPECT_DEATH(metrics->GetCounter("headrace_n_total", "n")->Add(-1), "check failed");
  EXPECT_DEATH(metrics->GetHistogram("headrace_h", "h", {2, 1}), "check failed");
}

TEST(Metrics, ForgetsWhatIsGone) {
  auto metrics = Metrics::Create();
  metrics->GetCounter("events_total", "Events", {{"pod", "a"}})->Add(1);
  metrics->GetCounter("events_total", "Events", {{"pod", "b"}})->Add(2);
  metrics->GetGauge("lag_seconds", "Lag", {{"pod", "a"}})->Set(3);
  metrics->GetGauge("lag_seconds", "Lag", {{"pod", "a"}, {"rank", "1"}})->Set(4);
  metrics->Forget({{"pod", "a"}});
  const std::string text = metrics->Scrape();
  EXPECT_EQ(text.find("{pod=\"a\"}"), std::string::npos) << text;
  EXPECT_NE(text.find("events_total{pod=\"b\"} 2"), std::string::npos) << text;
  EXPECT_NE(text.find("lag_seconds{pod=\"a\",rank=\"1\"} 4"), std::string::npos) << text;
  EXPECT_EQ(metrics->GetCounter("events_total", "Events", {{"pod", "a"}}),
            metrics->GetCounter("events_total", "Events", {{"pod", "a"}}));
}

}  // namespace
}  // namespace headrace
