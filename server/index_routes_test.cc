#include "server/index_routes.h"

#include <gtest/gtest.h>

#include <future>
#include <map>

namespace headrace::server {
namespace {

// Keeps the handlers; the test calls them.
struct FakeHttp final : net::HttpServer {
  void Handle(const std::string&, const std::string&, Handler) override { FAIL(); }
  void HandleAsync(const std::string& method, const std::string& path,
                   AsyncHandler handler) override {
    handlers[method + " " + path] = std::move(handler);
  }
  void HandleExchange(const std::string&, const std::string&, net::HttpExchangeHandler) override {}
  void SetErrorBody(net::HttpErrorBody) override {}
  void Start() override {}
  uint16_t port() const override { return 0; }

  net::HttpReply Ask(const std::string& route, net::HttpRequest request) {
    std::promise<net::HttpReply> promise;
    handlers.at(route)(std::move(request),
                       [&](net::HttpReply reply) { promise.set_value(std::move(reply)); });
    return promise.get_future().get();
  }

  std::map<std::string, AsyncHandler> handlers;
};

struct Fixture {
  explicit Fixture(const char* tokens, const indexer::ReplicaPlace& place = {}) {
    std::string message;
    indexer::Indexer::Options options;
    options.config.models = {{.name = "m", .tokenizer = "bytes"}};
    options.config.place = place;
    options.wall_seconds = [] { return int64_t{0}; };
    auto made = indexer::Indexer::Create(options, &message);
    HR_CHECK(made.has_value());
    indexer = std::move(*made);
    indexer->Start();
    std::optional<indexer::AccessTokens> parsed;
    if (tokens != nullptr) parsed = *indexer::AccessTokens::Parse(tokens, &message);
    AddIndexRoutes(&http, indexer.get(), std::move(parsed));
  }
  int Status(const std::string& route, net::HttpRequest request, const std::string& token) {
    if (!token.empty()) request.headers.Add("authorization", "Bearer " + token);
    return http.Ask(route, std::move(request)).status;
  }

  std::unique_ptr<indexer::Indexer> indexer;
  FakeHttp http;
};

constexpr const char* kTokens = "everything-token\ntenant-blue-token salt=blue\n";
const std::string kScore = R"({"model":"m","prompt":"x","extra":{"cache_salt":"blue"}})";

TEST(IndexRoutes, AskNobodyForATokenWhenThereIsNone) {
  Fixture f(nullptr);
  EXPECT_EQ(f.http.handlers.size(), 11u);
  const auto reply = f.http.Ask("POST /v1/score", {.body = kScore});
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(reply.body, "{\"model\":\"m\",\"tokens\":1,\"blocks\":0,\"pods\":[]}\n");
  EXPECT_EQ(f.http.Ask("POST /score_completions", {.body = R"({"model":"m","prompt":"x"})"}).body,
            "{}\n");
  EXPECT_EQ(f.http.Ask("POST /score_chat_completions", {.body = "{}"}).status, 400);
  EXPECT_EQ(f.http.Ask("GET /v1/index/stats", {}).status, 200);
  EXPECT_EQ(f.http.Ask("GET /v1/index/lookup", {.query = {{"key", "1"}}}).status, 200);
  EXPECT_EQ(f.http.Ask("GET /v1/index/dump", {}).body, "{\"next\":0,\"blocks\":[]}\n");
  EXPECT_EQ(f.http.Ask("POST /v1/index/announce", {.body = kScore}).status, 400);
  EXPECT_EQ(f.http.Ask("GET /v1/index/pods", {}).body, "{\"sources\":[],\"pods\":[]}\n");
  EXPECT_EQ(f.http.Ask("PUT /v1/index/pods/*", {.body = "{}", .rest = "p"}).status, 400);
  EXPECT_EQ(f.http.Ask("DELETE /v1/index/pods/*", {.rest = "p"}).status, 404);
}

TEST(IndexRoutes, AskForATokenEverywhere) {
  Fixture f(kTokens);
  for (const auto& [route, handler] : f.http.handlers) {
    EXPECT_EQ(f.Status(route, {.body = kScore}, ""), 401) << route;
    EXPECT_EQ(f.Status(route, {.body = kScore}, "everything-tokem"), 401) << route;
    EXPECT_NE(f.Status(route, {.body = kScore}, "everything-token"), 401) << route;
  }
  const auto reply = f.http.Ask("GET /v1/index/stats", {});
  EXPECT_EQ(reply.body.find("{\"error\":{\"field\":\"authorization\""), 0u) << reply.body;
}

TEST(IndexRoutes, OpenOnlyScoresToATenant) {
  Fixture f(kTokens);
  for (const auto& [route, handler] : f.http.handlers) {
    if (route.find("score") != std::string::npos || route == "GET /v1/index/replicas") continue;
    EXPECT_EQ(f.Status(route, {.query = {{"key", "1"}}, .rest = "p"}, "tenant-blue-token"), 403)
        << route;
  }
  EXPECT_EQ(f.Status("POST /v1/score", {.body = kScore}, "tenant-blue-token"), 200);
  EXPECT_EQ(f.Status("GET /v1/index/replicas", {}, "tenant-blue-token"), 200);
  EXPECT_EQ(
      f.Status("POST /v1/score", {.body = R"({"model":"m","prompt":"x"})"}, "tenant-blue-token"),
      403);
}

TEST(IndexRoutes, SendPromptsToTheReplicaThatHasThem) {
  const std::vector<std::string> all = {"10.0.0.1:9091", "10.0.0.2:9091"};
  std::string message;
  int moved = 0;
  for (const std::string& self : all) {
    auto place =
        indexer::ReplicaPlace::Create({.all = all, .self = self, .first_blocks = 1}, &message);
    ASSERT_TRUE(place) << message;
    Fixture f(nullptr, *place);
    const std::string prompt = R"({"model":"m","prompt":"0123456789abcdef")";
    const std::pair<const char*, std::string> routes[] = {
        {"/v1/score", prompt + "}"},
        {"/score_completions", prompt + "}"},
        {"/v1/index/announce", prompt + R"(,"pod":"p"})"}};
    for (const auto& [path, body] : routes) {
      const auto reply = f.http.Ask(std::string("POST ") + path, {.body = body});
      if (reply.status != 307) {
        EXPECT_EQ(reply.location, "");
        continue;
      }
      ++moved;
      const std::string& other = self == all[0] ? all[1] : all[0];
      EXPECT_EQ(reply.location, "http://" + other + path);
      EXPECT_EQ(reply.body, "{\"replica\":{\"addresses\":[\"" + other + "\"]}}\n");
    }
    EXPECT_EQ(f.http.Ask("GET /v1/index/replicas", {}).body,
              place->ListBody(indexer::IndexConfig().hash));
  }
  EXPECT_EQ(moved, 3);  // one of the two has it
}

}  // namespace
}  // namespace headrace::server
