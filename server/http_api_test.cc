#include "server/http_api.h"

#include <gtest/gtest.h>

#include <map>

#include "server/rpc_metrics.h"

namespace headrace::server {
namespace {

// Keeps the handlers; the test calls them.
struct FakeHttp final : net::HttpServer {
  void Handle(const std::string& method, const std::string& path, Handler handler) override {
    handlers[method + " " + path] = std::move(handler);
  }
  void HandleAsync(const std::string&, const std::string&, AsyncHandler) override {}
  void HandleExchange(const std::string&, const std::string&, net::HttpExchangeHandler) override {}
  void SetErrorBody(net::HttpErrorBody) override {}
  void Start() override {}
  uint16_t port() const override { return 0; }
  net::HttpReply Get(const std::string& path) { return handlers.at("GET " + path)({}); }

  std::map<std::string, Handler> handlers;
};

struct Fixture {
  Fixture() {
    info.version = "9.8.7";
    info.pages = "4k";
    AddPages(&http, sources);
    ExportMetrics(ServerOptions{}, sources);
  }
  void Publish(Snapshot snapshot) {
    board.Publish(std::make_shared<const Snapshot>(std::move(snapshot)));
  }

  ServerInfo info;
  Pool pool;
  PoolGrowth growth{&pool, [](uint32_t, uint32_t) {}};
  SnapshotBoard board;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  HttpSources sources{&info, &growth, &board, metrics.get()};
  FakeHttp http;
};

TEST(HttpApi, SaysItIsHealthyWithoutTheCore) {
  Fixture f;
  const auto reply = f.http.Get("/health");
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.body.find("\"version\":\"9.8.7\""), std::string::npos);
}

TEST(HttpApi, IsReadyOnceTheCoreRunsAndUntilItDrains) {
  Fixture f;
  EXPECT_EQ(f.http.Get("/ready").status, 503);
  f.Publish({});
  EXPECT_EQ(f.http.Get("/ready").status, 200);
  f.Publish({.draining = true});
  const auto reply = f.http.Get("/ready");
  EXPECT_EQ(reply.status, 503);
  EXPECT_NE(reply.body.find("draining"), std::string::npos);
}

TEST(HttpApi, ListsInstances) {
  Fixture f;
  EXPECT_EQ(f.http.Get("/instances").status, 503);
  f.Publish({.session_list = {{.id = 1, .instance = "vllm-0", .counts = {}, .name_spaces = {}}}});
  const auto reply = f.http.Get("/instances");
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.body.find("vllm-0"), std::string::npos);
}

TEST(HttpApi, ShowsTheCoresNumbersInMetrics) {
  Fixture f;
  Snapshot snapshot;
  snapshot.engine.leases = 3;
  snapshot.engine.saved_blocks = 512;
  snapshot.engine.limit_leases = 2;
  f.Publish(snapshot);
  const auto reply = f.http.Get("/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type.find("text/plain"), 0u);
  EXPECT_NE(reply.body.find("\nheadrace_leases 3"), std::string::npos) << reply.body;
  EXPECT_NE(reply.body.find("\nheadrace_saved_blocks_total 512"), std::string::npos);
  EXPECT_NE(reply.body.find("headrace_limit_hits_total{name=\"max-leases-per-session\"} 2"),
            std::string::npos);
  EXPECT_NE(reply.body.find("headrace_limit{name=\"max-leases-per-session\"} 16384"),
            std::string::npos);
}

TEST(HttpApi, KeepsCountersWhenTheyAreScrapedTwice) {
  Fixture f;
  Snapshot snapshot;
  snapshot.engine.queries = 10;
  f.Publish(snapshot);
  (void)f.http.Get("/metrics");
  snapshot.engine.queries = 12;
  f.Publish(snapshot);
  EXPECT_NE(f.http.Get("/metrics").body.find("\nheadrace_queries_total 12"), std::string::npos);
}

TEST(RpcMetrics, CountsAnswersByTypeAndCode) {
  const auto metrics = Metrics::Create();
  RpcMetrics rpc(metrics.get());
  rpc.Answered(wire::MessageType::kQuery, Errc::kOk);
  rpc.Answered(wire::MessageType::kQuery, Errc::kOk);
  rpc.Answered(wire::MessageType{200}, Errc::kInvalid);
  rpc.Took(wire::MessageType::kQuery, microseconds(3));
  const std::string text = metrics->Scrape();
  EXPECT_NE(text.find("headrace_requests_total{code=\"ok\",type=\"query\"} 2"), std::string::npos)
      << text;
  EXPECT_NE(text.find("headrace_requests_total{code=\"invalid\",type=\"unknown\"} 1"),
            std::string::npos);
  EXPECT_NE(text.find("headrace_request_seconds_count{type=\"query\"} 1"), std::string::npos);
}

TEST(RpcMetrics, NamesEveryMessage) {
  EXPECT_STREQ(MessageTypeName(wire::MessageType::kHello), "hello");
  EXPECT_STREQ(MessageTypeName(wire::MessageType::kDropHandle), "drop_handle");
  EXPECT_STREQ(MessageTypeName(wire::MessageType::kStatus), "status");
  EXPECT_STREQ(MessageTypeName(wire::MessageType{99}), "unknown");
}

}  // namespace
}  // namespace headrace::server
