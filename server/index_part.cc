#include "server/index_part.h"

#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "base/log.h"
#include "server/event_options.h"
#include "server/index_routes.h"

namespace headrace::server {
namespace {

// What a clock on the wall shows, as seconds since 1970: templates print it.
int64_t LocalSeconds() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return int64_t{now} + local.tm_gmtoff;
}

}  // namespace

Result<std::unique_ptr<IndexPart>> IndexPart::Create(const IndexOptions& options,
                                                     const Parts& parts, std::string* message) {
  std::unique_ptr<IndexPart> part(new IndexPart(parts.metrics));
  std::string why;
  indexer::IndexConfig config;
  if (!options.config_file.empty()) {
    auto read = indexer::ReadIndexConfig(options.config_file, &why);
    if (!read) {
      *message = fmt::format("--index-config: {}", why);
      return Fail(read.error());
    }
    config = std::move(*read);
  }
  if (!options.token_file.empty()) {
    auto tokens = indexer::AccessTokens::Read(options.token_file, &why);
    if (!tokens) {
      *message = fmt::format("--index-token-file: {}: {}", options.token_file, why);
      return Fail(tokens.error());
    }
    part->tokens_ = std::move(*tokens);
  }
  config.discover.insert(config.discover.end(), options.discover.begin(), options.discover.end());
  std::optional<net::CurveKeys> curve;
  if (!options.curve_secret_file.empty()) {
    HR_TRY(curve, ReadCurveSecret("--index-curve-secret-file", options.curve_secret_file, message));
  }
  auto indexer = indexer::Indexer::Create({.config = std::move(config),
                                           .limits = options.limits,
                                           .seed = parts.seed,
                                           .wall_seconds = LocalSeconds,
                                           .unix_seconds = UnixSeconds,
                                           .curve = std::move(curve),
                                           .observer = &part->shown_},
                                          &why);
  if (!indexer) {
    *message = fmt::format("--index-config: {}", why.empty() ? indexer.error().what : why);
    return Fail(indexer.error());
  }
  part->indexer_ = std::move(*indexer);
  if (!options.grpc_addr.empty()) {
    HR_TRY(part->rpc_, IndexRpc::Listen({.address = options.grpc_addr,
                                         .max_message_bytes = parts.max_body_bytes,
                                         .tokens = part->tokens_},
                                        part->indexer_->service(), message));
  }
  return part;
}

void IndexPart::AddRoutes(net::HttpServer* http) {
  AddIndexRoutes(http, indexer_.get(), tokens_);
}

void IndexPart::Start() {
  indexer_->Start();
  if (rpc_ != nullptr) HR_INFO("scores by gRPC on port {}", rpc_->port());
}

void IndexPart::ExportMetrics() {
  metrics_->OnScrape([this] {
    const auto numbers = indexer_->numbers();
    if (numbers != nullptr) shown_.Update(*numbers, MonotonicNow());
  });
}

}  // namespace headrace::server
