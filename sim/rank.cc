#include "sim/rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/time.h"
#include "sim/model_api.h"

namespace headrace::sim {
namespace {

// Seeds of its parts, so that one part's draws do not shift another's.
enum SeedOf : uint64_t { kLatencies = 1, kFailures, kTools, kIds };

uint64_t SeedFor(uint64_t seed, SeedOf part) {
  return MixBits(seed + (uint64_t{part} << 32));
}

// Where a decode engine would find the blocks. There are no bytes behind them.
constexpr const char* kRemoteDecodeParams =
    R"({"do_remote_decode":false,"do_remote_prefill":true,"remote_block_ids":["DUMMY_ID"],)"
    R"("remote_engine_id":"DUMMY_ID","remote_host":"DUMMY","remote_port":1234,"tp_size":1})";

std::unique_ptr<KvCache> MakeCache(const Rank::Options& options) {
  return options.cache ? std::make_unique<KvCache>(*options.cache) : nullptr;
}

std::string DisplayedName(const Rank::Options& options) {
  return options.aliases.empty() ? options.model : options.aliases.front();
}

SimMetrics::Options MetricsOf(const Rank::Options& options) {
  SimMetrics::Options made{.model = DisplayedName(options),
                           .max_model_len = options.max_model_len,
                           .max_loras = options.max_loras,
                           .unix_s = UnixSeconds()};
  if (options.cache) {
    made.block_tokens = options.cache->block_tokens;
    made.blocks = options.cache->blocks;
  }
  return made;
}

}  // namespace

net::HttpReply ErrorReply(const ApiError& error, const std::string& header_lines) {
  net::HttpReply reply{.status = error.status, .body = ErrorBody(error)};
  reply.header_lines = header_lines;
  return reply;
}

bool IsHeaderText(std::string_view text) {
  constexpr size_t kMaxBytes = 256;
  return !text.empty() && text.size() <= kMaxBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Result<std::unique_ptr<Rank>> Rank::Create(Loop* loop, const Options& options,
                                           const text::Tokenizer* tokenizer,
                                           std::unique_ptr<Generator> generator,
                                           std::string* message) {
  std::unique_ptr<KvHasher> hasher;
  if (options.cache) {
    auto made = KvHasher::Create(options.hashing);
    if (!made) {
      *message = fmt::format("--block-hash, --hash-seed: {}", made.error().what);
      return tl::unexpected(made.error());
    }
    hasher = std::move(*made);
  }
  std::unique_ptr<Rank> rank(
      new Rank(loop, options, tokenizer, std::move(generator), std::move(hasher)));
  return rank;
}

Rank::Rank(Loop* loop, const Options& options, const text::Tokenizer* tokenizer,
           std::unique_ptr<Generator> generator, std::unique_ptr<KvHasher> hasher)
    : loop_(loop),
      options_(options),
      tokenizer_(tokenizer),
      generator_(std::move(generator)),
      hasher_(std::move(hasher)),
      random_(SeedFor(options.seed, kTools)),
      ids_(SeedFor(options.seed, kIds)),
      latency_(options.latency, options.max_running, SeedFor(options.seed, kLatencies)),
      loras_(options.max_loras),
      metrics_(MetricsOf(options)),
      failures_(options.failures, SeedFor(options.seed, kFailures)),
      cache_(MakeCache(options)),
      engine_({.max_running = options.max_running,
               .max_waiting = options.max_waiting,
               .block_tokens = options.cache ? options.cache->block_tokens : 16},
              {&latency_, &loras_, &metrics_, cache_.get()}, MonotonicNow()) {
  for (const LoraAdapter& adapter : options.adapters) loras_.Load(adapter);
  parts_ = {.engine = &engine_,
            .generator = generator_.get(),
            .hasher = hasher_.get(),
            .metrics = &metrics_,
            .tokenizer = tokenizer_,
            .tools = &options_.tools,
            .random = &random_,
            .max_model_len = options_.max_model_len,
            .remote_decode_params = kRemoteDecodeParams,
            .touched = &touched_};
}

Rank::~Rank() {
  loop_->CancelTimer(timer_);
}

std::optional<LoraAdapter> Rank::Model(const std::string& name) const {
  const auto& aliases = options_.aliases;
  const bool base = aliases.empty()
                        ? name == options_.model
                        : std::find(aliases.begin(), aliases.end(), name) != aliases.end();
  if (base) return LoraAdapter{};
  const LoraAdapter* const adapter = loras_.Find(name);
  if (adapter == nullptr) return std::nullopt;
  return *adapter;
}

void Rank::Generate(const GenerateEndpoint& endpoint,
                    const std::shared_ptr<net::HttpExchange>& exchange) {
  const auto refused = Accept(endpoint, exchange);
  if (refused) {
    metrics_.Failed();
    net::HttpReply reply = ErrorReply(*refused, options_.header_lines);
    reply.body = endpoint.error_body(*refused);
    return exchange->Reply(reply);
  }
  Settle();
}

// In the order of the checks that clients of vLLM see.
std::optional<ApiError> Rank::Accept(const GenerateEndpoint& endpoint,
                                     const std::shared_ptr<net::HttpExchange>& exchange) {
  if (closing_) return ApiError{503, "The server is shutting down"};
  const net::HttpRequest& http = exchange->request();
  auto body = endpoint.parse(http.body, {.cache_hit_threshold = options_.cache_hit_threshold});
  if (!body) return body.error();
  if (auto refused = Check(http, *body)) return refused;
  const auto model = Model(body->request.model);
  if (!model) return ModelUnknown(body->request.model);
  if (auto refused = CheckTools(body->tools, options_.tools)) return refused;
  if (auto refused = CheckSampling(body->request)) return refused;
  if (!engine_.HasRoom(body->request.prompts.size() * body->request.n)) {
    return ApiError{429, "The waiting queue is full: try again later"};
  }

  const std::string id = RequestId(http);
  std::string header_lines = options_.header_lines;
  if (options_.request_id_headers) header_lines += fmt::format("X-Request-Id: {}\r\n", id);
  const uint64_t number = ++last_number_;
  const std::string displayed = model->name.empty() ? DisplayedName(options_) : model->name;
  Conversation::Start start;
  start.number = number;
  start.exchange = exchange;
  start.body = std::move(*body);
  start.head.id = id;
  start.head.model = displayed;
  start.head.created_s = time(nullptr);
  start.lora = *model;
  start.header_lines = std::move(header_lines);
  auto conversation = std::make_unique<Conversation>(parts_, std::move(start));
  if (auto refused = conversation->Prepare()) return refused;
  Conversation* const begun = conversation.get();
  conversations_.emplace(number, std::move(conversation));
  exchange->OnGone([this, number] { Gone(number); });
  begun->Submit(MonotonicNow());
  return std::nullopt;
}

// Failures on purpose.
std::optional<ApiError> Rank::Check(const net::HttpRequest& http, const GenerateBody& body) {
  const std::string_view wanted = http.headers.Find("x-return-error");
  if (!wanted.empty()) {
    if (auto error = Failures::OfHeader(wanted)) return error;
  }
  return failures_.Next(body.request.model);
}

std::string Rank::RequestId(const net::HttpRequest& http) {
  const std::string_view given = http.headers.Find("x-request-id");
  if (options_.request_id_headers && IsHeaderText(given)) return std::string(given);
  return NewId();
}

std::string Rank::NewId() {
  // Version 8.
  const uint64_t high = ids_.Next(), low = ids_.Next();
  return fmt::format("{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff,
                     high & 0xfff, 0x8000 | (low >> 48 & 0x3fff), low & 0xffffffffffff);
}

void Rank::Gone(uint64_t number) {
  const auto found = conversations_.find(number);
  if (found == conversations_.end()) return;
  found->second->Abort(MonotonicNow());
  std::erase(touched_, found->second.get());
  conversations_.erase(found);
  Settle();
}

void Rank::OnTimer() {
  timer_ = 0;
  armed_ = Time::max();
  engine_.Expire(MonotonicNow());
  Settle();
}

// What is due together is written together. An answer may bring its connection's next request at
// once: it joins the list.
void Rank::Settle() {
  if (settling_) return;
  settling_ = true;
  for (size_t i = 0; i < touched_.size(); ++i) {
    Conversation* const conversation = touched_[i];
    if (conversation->Settle()) conversations_.erase(conversation->number());
  }
  touched_.clear();
  settling_ = false;
  ArmTimer();
}

void Rank::ArmTimer() {
  const Time next = engine_.Next().value_or(Time::max());
  if (next == armed_) return;
  if (timer_ != 0) loop_->CancelTimer(timer_);
  timer_ = 0;
  armed_ = next;
  if (next != Time::max()) timer_ = loop_->At(next, [this] { OnTimer(); });
}

std::string Rank::Scrape(double unix_s) {
  if (cache_ != nullptr) {
    metrics_.CacheUsed(cache_->used_blocks() /
                       std::max(1.0, static_cast<double>(cache_->capacity())));
  }
  metrics_.Loras(loras_.running(), engine_.waiting_loras(), unix_s);
  return metrics_.Scrape();
}

}  // namespace headrace::sim
