#include "server/index_options.h"

#include <fmt/format.h>

#include <utility>

#include "net/address.h"

#ifndef HEADRACE_GRPC
#define HEADRACE_GRPC 0
#endif

namespace headrace::server {
namespace {

constexpr bool kHasGrpc = HEADRACE_GRPC != 0;

// What cannot be read is refused where it is bound.
bool IsOpen(const std::string& address) {
  const auto parsed = net::ParseHostPort(address);
  return parsed && !net::IsLoopback(parsed->host);
}

}  // namespace

void BindIndexOptions(IndexOptions* options, OptionTable* table) {
  table->Group("Index");
  table->Choice("index", &options->mode, {"auto", "on", "off"},
                "score prompts by the fleet's events; auto: with --index-config or without a pool");
  table->Text("index-config", &options->config_file, "FILE",
              "YAML with llm-d's names: models, pods, weights, ...");
  table->Text("index-token-file", &options->token_file, "FILE",
              "who may ask: one token a line, or a token and salt=TEXT");
  table->List("discover", &options->discover, "HOST:PORT,...",
              "vLLM servers whose GET /kv_event_sources names their publishers");
  table->Text("index-curve-secret-file", &options->curve_secret_file, "PATH",
              "the index's CURVE secret key, for publishers that have one");
  table->Text("grpc-addr", &options->grpc_addr, "HOST:PORT",
              "scores by gRPC, with the same tokens; empty: none");
}

Status CheckIndexOptions(const IndexOptions& options, uint64_t pool_bytes,
                         const std::string& http_addr, std::string* message) {
  const auto refuse = [&](std::string text) {
    *message = std::move(text);
    return Fail(Errc::kInvalid, "an option is wrong");
  };
  for (const std::string& address : options.discover) {
    if (net::ParseHostPort(address)) continue;
    return refuse(fmt::format(
        "--discover: \"{}\" is not HOST:PORT; write for example 10.0.0.1:8000", address));
  }
  if (!options.grpc_addr.empty()) {
    if (!kHasGrpc) {
      return refuse("--grpc-addr: this program was built without gRPC (meson option grpc)");
    }
    if (!net::ParseHostPort(options.grpc_addr)) {
      return refuse(
          fmt::format("--grpc-addr: \"{}\" is not HOST:PORT; write for example "
                      "127.0.0.1:50051",
                      options.grpc_addr));
    }
  }
  if (!options.on(pool_bytes) || !options.token_file.empty()) return {};
  const std::pair<const char*, const std::string&> addresses[] = {
      {"--http-addr", http_addr}, {"--grpc-addr", options.grpc_addr}};
  for (const auto& [option, address] : addresses) {
    if (!IsOpen(address)) continue;
    return refuse(
        fmt::format("{}: {} can be reached from other hosts, and the index tells who asked what; "
                    "name the tokens that may ask with --index-token-file, or write --index off",
                    option, address));
  }
  return {};
}

}  // namespace headrace::server
