#include "sim/sampling_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace headrace::sim {
namespace {

constexpr uint32_t kMaxCount = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kMaxPort = 65535;

void ReadStream(FieldReader* body, Request* request) {
  body->Bool("stream", &request->stream);
  const JsonValue options = body->Object("stream_options");
  if (!options) return;
  if (!request->stream) {
    body->Refuse("stream_options", "stream_options can only be set when stream is true");
    return;
  }
  FieldReader fields = body->Inside("stream_options", options);
  fields.Bool("include_usage", &request->include_usage);
}

void ReadStop(FieldReader* body, Sampling* sampling) {
  const JsonValue stop = body->Find("stop");
  if (!stop) return;
  const auto add = [&](JsonValue value) {
    if (!value.IsText()) return body->Refuse("stop", "stop must be a string or a list of strings");
    if (value.text().empty()) return body->Refuse("stop", "stop must not hold an empty string");
    sampling->stop.emplace_back(value.text());
    return true;
  };
  if (!stop.IsList()) {
    add(stop);
    return;
  }
  for (const JsonValue value : stop) {
    if (!add(value)) return;
  }
}

void ReadTransfer(FieldReader* body, Request* request) {
  const JsonValue params = body->Object("kv_transfer_params");
  if (!params) return;
  KvTransfer transfer;
  FieldReader fields = body->Inside("kv_transfer_params", params);
  fields.Bool("do_remote_decode", &transfer.do_remote_decode);
  fields.Bool("do_remote_prefill", &transfer.do_remote_prefill);
  fields.Text("remote_engine_id", &transfer.remote_engine_id);
  fields.Text("remote_host", &transfer.remote_host);
  uint32_t port = 0;
  fields.Count("remote_port", 0, kMaxPort + 1, &port);
  if (port > kMaxPort) fields.Refuse("remote_port", "remote_port must be at most 65535");
  transfer.remote_port = static_cast<uint16_t>(port);
  if (const JsonValue blocks = fields.List("remote_block_ids")) {
    transfer.remote_block_ids = blocks.raw();
  }
  request->kv_transfer = std::move(transfer);
}

std::optional<ApiError> Wrong(const char* param, std::string message) {
  return ApiError{400, std::move(message), param};
}

std::optional<ApiError> CheckChoices(const Request& request) {
  if (request.n == 0) return Wrong("n", "n must be at least 1");
  if (request.prompts.size() * request.n > kMaxChoices) {
    return Wrong("n", fmt::format("n times the prompts must be at most {}, got {}", kMaxChoices,
                                  request.prompts.size() * request.n));
  }
  return std::nullopt;
}

std::optional<ApiError> CheckMost(const Sampling& sampling) {
  if (sampling.max_tokens && *sampling.max_tokens < 1) {
    return Wrong("max_tokens",
                 fmt::format("max_tokens must be at least 1, got {}", *sampling.max_tokens));
  }
  return std::nullopt;
}

std::optional<ApiError> CheckRest(const Sampling& sampling) {
  if (sampling.ignore_eos && !sampling.max_tokens) {
    return Wrong("ignore_eos", "ignore_eos needs max_tokens: nothing else ends the generation");
  }
  if (sampling.max_tokens && sampling.min_tokens > *sampling.max_tokens) {
    return Wrong("min_tokens",
                 fmt::format("min_tokens must be less than or equal to max_tokens={}, got {}",
                             *sampling.max_tokens, sampling.min_tokens));
  }
  if (sampling.logprobs && *sampling.logprobs > kMaxLogprobs) {
    return Wrong(
        "logprobs",
        fmt::format("Requested sample logprobs of {}, which is greater than max allowed: {}",
                    *sampling.logprobs, kMaxLogprobs));
  }
  return std::nullopt;
}

}  // namespace

void ReadSampling(const RequestDefaults& defaults, FieldReader* body, Request* request) {
  Sampling& sampling = request->sampling;
  body->Text("model", &request->model);
  std::optional<int64_t> n;
  body->Integer("n", &n);
  if (n) request->n = static_cast<uint32_t>(std::clamp<int64_t>(*n, 0, kMaxCount));
  body->Integer("max_tokens", &sampling.max_tokens);
  body->Count("min_tokens", 0, kMaxCount, &sampling.min_tokens);
  body->Bool("ignore_eos", &sampling.ignore_eos);
  ReadStop(body, &sampling);
  ReadStream(body, request);
  ReadTransfer(body, request);
  request->cache_hit_threshold = defaults.cache_hit_threshold;
  body->Number("cache_hit_threshold", 0, 1, &request->cache_hit_threshold);
}

std::optional<ApiError> CheckSampling(const Request& request) {
  if (auto wrong = CheckChoices(request)) return wrong;
  if (auto wrong = CheckMost(request.sampling)) return wrong;
  if (request.stream && request.kv_transfer && request.kv_transfer->do_remote_decode) {
    return Wrong("stream",
                 "a prefill for a remote decode (kv_transfer_params.do_remote_decode) "
                 "cannot be streamed");
  }
  return CheckRest(request.sampling);
}

}  // namespace headrace::sim
