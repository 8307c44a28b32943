#include "server/http_api.h"

#include <string>
#include <vector>

#include "server/stat_table.h"

namespace headrace::server {
namespace {

// How long a page waits for the core's latest numbers before it shows the last ones.
constexpr Duration kPatience = milliseconds(50);

constexpr int kOk = 200;
constexpr int kServiceUnavailable = 503;

net::HttpReply JsonReply(int status, std::string body) {
  return {.status = status, .content_type = "application/json", .body = std::move(body)};
}

net::HttpReply Ready(const HttpSources& sources) {
  const auto snapshot = sources.board->Fresh(kPatience);
  const bool draining = snapshot != nullptr && snapshot->draining;
  const bool ready = snapshot != nullptr && !draining;
  return JsonReply(ready ? kOk : kServiceUnavailable,
                   ReadyJson(*sources.info, sources.growth->progress(), draining));
}

// Metric objects of one table, made once.
struct Exported {
  std::vector<Counter*> counters;  // null where the row is a gauge
  std::vector<Gauge*> gauges;      // null where the row is a counter
  std::vector<Counter*> limit_hits;
  Gauge* age = nullptr;
  Gauge* growth_ready = nullptr;
  Gauge* growth_seconds = nullptr;
  Gauge* growth_failed = nullptr;
};

Exported MakeMetrics(Metrics* metrics) {
  Exported out;
  for (const StatRow& row : StatRows()) {
    const std::string name = std::string("headrace_") + row.name;
    out.counters.push_back(row.counter ? metrics->GetCounter(name + "_total", row.help) : nullptr);
    out.gauges.push_back(row.counter ? nullptr : metrics->GetGauge(name, row.help));
  }
  for (const LimitHitRow& row : LimitHitRows()) {
    out.limit_hits.push_back(metrics->GetCounter(
        "headrace_limit_hits_total", "How often a limit was reached", {{"name", row.name}}));
  }
  out.age = metrics->GetGauge("headrace_snapshot_age_seconds",
                              "Age of the core's numbers; grows while the core stands still");
  out.growth_ready = metrics->GetGauge("headrace_growth_ready_bytes", "Memory backed so far");
  out.growth_seconds = metrics->GetGauge("headrace_growth_seconds", "Time that backing has taken");
  out.growth_failed = metrics->GetGauge("headrace_growth_failed", "1 when memory ran out");
  return out;
}

void Update(const Exported& out, const HttpSources& sources) {
  const PoolGrowth::Progress growth = sources.growth->progress();
  out.growth_ready->Set(static_cast<double>(growth.ready_bytes));
  out.growth_seconds->Set(growth.seconds);
  out.growth_failed->Set(growth.failed ? 1 : 0);
  const auto snapshot = sources.board->Fresh(kPatience);
  if (snapshot == nullptr) return;
  out.age->Set(std::chrono::duration<double>(MonotonicNow() - snapshot->taken).count());
  const auto rows = StatRows();
  HR_CHECK(out.counters.size() == rows.size() && out.gauges.size() == rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const double value = rows[i].value(*snapshot);
    if (out.counters[i] != nullptr) out.counters[i]->SetTotal(value);
    if (out.gauges[i] != nullptr) out.gauges[i]->Set(value);
  }
  const auto hits = LimitHitRows();
  for (size_t i = 0; i < hits.size(); ++i) out.limit_hits[i]->SetTotal(hits[i].value(*snapshot));
}

}  // namespace

void AddPages(net::HttpServer* http, const HttpSources& sources) {
  HR_CHECK(sources.info != nullptr && sources.growth != nullptr);
  HR_CHECK(sources.board != nullptr && sources.metrics != nullptr);
  http->Handle("GET", "/health", [sources](const net::HttpRequest&) {
    return JsonReply(kOk, HealthJson(*sources.info, sources.board->Silence()));
  });
  http->Handle("GET", "/ready", [sources](const net::HttpRequest&) { return Ready(sources); });
  http->Handle("GET", "/instances", [sources](const net::HttpRequest&) {
    const auto snapshot = sources.board->Fresh(kPatience);
    if (snapshot == nullptr) return JsonReply(kServiceUnavailable, "{\"instances\":[]}");
    return JsonReply(kOk, InstancesJson(*snapshot));
  });
  http->Handle("GET", "/metrics", [sources](const net::HttpRequest&) {
    return net::HttpReply{.status = kOk,
                          .content_type = "text/plain; version=0.0.4; charset=utf-8",
                          .body = sources.metrics->Scrape()};
  });
}

void ExportMetrics(const ServerOptions& options, const HttpSources& sources) {
  for (const LimitValue& limit : LimitsOf(options)) {
    sources.metrics->GetGauge("headrace_limit", "Every limit and its value", {{"name", limit.name}})
        ->Set(limit.value);
  }
  sources.metrics
      ->GetGauge("headrace_info", "What runs here",
                 {{"version", sources.info->version}, {"pages", sources.info->pages}})
      ->Set(1);
  sources.metrics->GetGauge("headrace_pool_bytes", "Size of the pool")
      ->Set(static_cast<double>(sources.growth->progress().total_bytes));
  sources.metrics->OnScrape(
      [out = MakeMetrics(sources.metrics), sources] { Update(out, sources); });
}

}  // namespace headrace::server
