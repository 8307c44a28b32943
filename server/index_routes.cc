#include "server/index_routes.h"

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <utility>

namespace headrace::server {
namespace {

using indexer::ApiReply;
using indexer::Dialect;
using indexer::Grant;
using indexer::Indexer;
using indexer::IndexService;

constexpr int kUnauthorized = 401;

net::HttpReply ToHttp(ApiReply reply, const char* path) {
  return {.status = reply.status,
          .content_type = "application/json",
          .body = std::move(reply.body),
          .location = reply.owner.empty() ? "" : fmt::format("http://{}{}", reply.owner, path)};
}

using Route = std::function<void(const Grant&, net::HttpRequest, IndexService::Answer)>;

// Asks for the token, if there are any, before anything of the request is looked at.
class Guard {
 public:
  Guard(net::HttpServer* http, std::optional<indexer::AccessTokens> tokens)
      : http_(http),
        tokens_(tokens ? std::make_shared<const indexer::AccessTokens>(std::move(*tokens))
                       : nullptr) {}

  // `path` is a literal.
  void Add(const char* method, const char* path, Route route) const {
    http_->HandleAsync(
        method, path,
        [tokens = tokens_, path, route = std::move(route)](net::HttpRequest request,
                                                           net::HttpServer::Answer answer) {
          const auto grant = GrantOf(tokens.get(), request);
          if (!grant) {
            const indexer::ApiError error{
                kUnauthorized, "authorization",
                "a token of --index-token-file is needed: Authorization: Bearer TOKEN"};
            return answer(ToHttp(IndexService::Refusal(error), path));
          }
          route(*grant, std::move(request), [answer = std::move(answer), path](ApiReply reply) {
            answer(ToHttp(std::move(reply), path));
          });
        });
  }

 private:
  static std::optional<Grant> GrantOf(const indexer::AccessTokens* tokens,
                                      const net::HttpRequest& request) {
    if (tokens == nullptr) return Grant{.everything = true, .salt = ""};
    return tokens->Check(request.headers.Find("authorization"));
  }

  net::HttpServer* const http_;
  const std::shared_ptr<const indexer::AccessTokens> tokens_;
};

}  // namespace

void AddIndexRoutes(net::HttpServer* http, Indexer* indexer,
                    std::optional<indexer::AccessTokens> tokens) {
  HR_CHECK(http != nullptr && indexer != nullptr);
  IndexService* const service = indexer->service();
  const Guard guard(http, std::move(tokens));
  const auto score = [&](const char* path, Dialect dialect) {
    guard.Add("POST", path,
              [service, dialect](const Grant& grant, net::HttpRequest request,
                                 const IndexService::Answer& answer) {
                service->Score(dialect, grant, std::move(request.body), answer);
              });
  };
  score("/v1/score", Dialect::kHeadrace);
  score("/score_completions", Dialect::kLlmdCompletions);
  score("/score_chat_completions", Dialect::kLlmdChat);
  guard.Add("GET", "/v1/index/replicas",
            [service](const Grant&, const net::HttpRequest&, const IndexService::Answer& answer) {
              answer(service->Replicas());
            });
  guard.Add("GET", "/v1/index/stats",
            [indexer](const Grant& grant, const net::HttpRequest&,
                      const IndexService::Answer& answer) { indexer->Stats(grant, answer); });
  guard.Add("GET", "/v1/index/lookup",
            [service](const Grant& grant, const net::HttpRequest& request,
                      const IndexService::Answer& answer) {
              service->Lookup(grant, request.query, answer);
            });
  guard.Add("GET", "/v1/index/dump",
            [service](const Grant& grant, const net::HttpRequest& request,
                      const IndexService::Answer& answer) {
              service->Dump(grant, request.query, answer);
            });
  guard.Add(
      "POST", "/v1/index/announce",
      [service](const Grant& grant, net::HttpRequest request, const IndexService::Answer& answer) {
        service->Announce(grant, std::move(request.body), answer);
      });
  guard.Add("GET", "/v1/index/pods",
            [indexer](const Grant& grant, const net::HttpRequest&,
                      const IndexService::Answer& answer) { indexer->ListPods(grant, answer); });
  guard.Add("PUT", "/v1/index/pods/*",
            [indexer](const Grant& grant, const net::HttpRequest& request,
                      const IndexService::Answer& answer) {
              indexer->PutPod(grant, request.rest, request.body, answer);
            });
  guard.Add(
      "DELETE", "/v1/index/pods/*",
      [indexer](const Grant& grant, net::HttpRequest request, const IndexService::Answer& answer) {
        indexer->RemovePod(grant, std::move(request.rest), answer);
      });
}

}  // namespace headrace::server
