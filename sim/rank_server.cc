#include "sim/rank_server.h"

#include <fmt/format.h>
#include <pthread.h>

#include <csignal>
#include <cstring>
#include <future>
#include <utility>

#include "base/log.h"
#include "base/version.h"
#include "sim/admin.h"
#include "sim/endpoints.h"
#include "sim/fake_values.h"
#include "sim/model_api.h"
#include "sim/server_api.h"
#include "sim/text_routes.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kMaxConnections = 65536;
constexpr uint32_t kIdleSeconds = 75;  // of a connection that is kept for the next request

Status Refuse(std::string* message, std::string line, Error error) {
  *message = std::move(line);
  return tl::unexpected(error);
}

std::string ListenAddress(const std::string& host, uint32_t port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

std::string OsText(const Error& error) {
  return error.os == 0 ? "" : fmt::format(" ({})", std::strerror(error.os));
}

// What vLLM's API server says by itself.
std::string ServerErrorBody(int status, std::string_view what) {
  return ErrorBody({status, std::string(what)});
}

// Stable for the life of the process.
std::string EngineId(uint32_t index) {
  const uint64_t now = static_cast<uint64_t>(MonotonicNow().time_since_epoch().count());
  return fmt::format("{:016x}{:016x}", MixBits(now), MixBits(now + index + 1));
}

}  // namespace

RankServer::RankServer(const Config& config, uint32_t index)
    : config_(config), index_(index), engine_id_(EngineId(index)) {}

Result<std::unique_ptr<RankServer>> RankServer::Create(const Config& config, uint32_t index,
                                                       const text::Tokenizer* tokenizer,
                                                       std::string* message) {
  std::unique_ptr<RankServer> made(new RankServer(config, index));
  made->header_lines_ = made->HeaderLines();
  HR_TRY(made->loop_, Loop::Create());
  HR_RETURN_IF_ERROR(made->OpenEvents(message));
  HR_RETURN_IF_ERROR(made->OpenRank(tokenizer, message));
  HR_RETURN_IF_ERROR(made->OpenServers(message));
  return made;
}

RankServer::~RankServer() {
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  if (loop_ != nullptr) loop_->CancelTimer(fakes_timer_);
  servers_.clear();
  rank_.reset();
}

// Told with every answer, where the environment names the pod.
std::string RankServer::HeaderLines() const {
  std::string lines;
  if (IsHeaderText(config_.pod.name)) {
    lines += fmt::format("x-inference-pod: {}\r\nx-inference-port: {}\r\n", config_.pod.name,
                         config_.serving.port + index_);
  }
  if (IsHeaderText(config_.pod.name_space)) {
    lines += fmt::format("x-inference-namespace: {}\r\n", config_.pod.name_space);
  }
  return lines;
}

Status RankServer::OpenEvents(std::string* message) {
  const EventOptions& events = config_.events;
  if (!config_.kv.enabled || events.endpoint.empty()) return {};
  KvEvents::Config made;
  const auto endpoint = KvEndpointOfRank(events.endpoint, index_);
  if (!endpoint) {
    return Refuse(message,
                  fmt::format("--zmq-endpoint: \"{}\" is no endpoint of ZeroMQ; write for "
                              "example tcp://127.0.0.1:5557",
                              events.endpoint),
                  endpoint.error());
  }
  made.endpoint = *endpoint;
  made.bind = events.bind;
  if (!events.replay_endpoint.empty()) {
    const auto replay = KvEndpointOfRank(events.replay_endpoint, index_);
    if (!replay) {
      return Refuse(message,
                    fmt::format("--kv-events-replay-endpoint: \"{}\" is no endpoint of "
                                "ZeroMQ",
                                events.replay_endpoint),
                    replay.error());
    }
    made.replay_endpoint = *replay;
  }
  made.replay_messages = events.replay_queue;
  const uint32_t port = config_.serving.port + index_;
  topic_ = KvTopic(config_.pod.ip,
                   events.topic == EventTopic::kPodPort ? std::optional(static_cast<uint16_t>(port))
                                                        : std::nullopt,
                   config_.model.name);
  made.topic = topic_;
  made.form = {.wire = {.array = !events.as_maps, .int_hashes = true},
               .block_tokens = config_.kv.block_tokens,
               .rank = static_cast<int32_t>(index_)};
  made.batch_events = events.batch_size;
  HR_TRY(events_, KvEvents::Create(made, message));
  return {};
}

Rank::Options RankServer::OptionsOfRank() const {
  Rank::Options options;
  options.model = config_.model.name;
  options.aliases = config_.model.served_names;
  options.adapters = config_.lora.adapters;
  options.max_loras = config_.lora.max_running;
  options.max_running = config_.scheduler.max_running;
  options.max_waiting = config_.scheduler.max_waiting;
  options.max_model_len = config_.model.max_model_len;
  options.latency = config_.latency;
  options.failures = config_.failures;
  options.tools = config_.tools;
  options.cache_hit_threshold = config_.kv.hit_threshold;
  options.seed = static_cast<uint64_t>(config_.seed.value_or(0)) + index_;
  options.request_id_headers = config_.serving.request_id_headers;
  options.header_lines = header_lines_;
  if (!config_.kv.enabled) return options;
  options.cache = {
      .blocks = config_.kv.blocks, .block_tokens = config_.kv.block_tokens, .listener = nullptr};
  if (events_ != nullptr) {
    options.cache->listener = [events = events_.get()](const KvChange& change) {
      events->Take(change);
    };
  }
  options.hashing = {.algo = config_.kv.hash_algo,
                     .seed = config_.kv.hash_seed,
                     .model = config_.model.name,
                     .block_tokens = config_.kv.block_tokens};
  return options;
}

Result<std::unique_ptr<Generator>> RankServer::MakeGenerator(const text::Tokenizer* tokenizer,
                                                             std::string* message) const {
  const GeneratorOptions options{.seed = static_cast<uint64_t>(config_.seed.value_or(0)) + index_,
                                 .max_model_len = config_.model.max_model_len,
                                 .tokenizer = tokenizer};
  if (config_.model.mode == Mode::kEcho) return MakeEchoGenerator(options);
  if (config_.dataset.source.path.empty()) return MakeRandomGenerator(options);
  auto opened = OpenDataset(options, config_.dataset.source, message);
  if (!opened) *message = fmt::format("--dataset-path: {}", *message);
  return opened;
}

Status RankServer::OpenRank(const text::Tokenizer* tokenizer, std::string* message) {
  HR_TRY(auto generator, MakeGenerator(tokenizer, message));
  HR_TRY(rank_,
         Rank::Create(loop_.get(), OptionsOfRank(), tokenizer, std::move(generator), message));
  ShowFakes();
  return {};
}

Status RankServer::OpenServers(std::string* message) {
  const net::HttpLimits limits{.max_connections = kMaxConnections,
                               .max_body_bytes = config_.serving.max_body_bytes,
                               .idle_seconds = kIdleSeconds};
  for (const std::string& host : config_.serving.hosts) {
    const std::string address = ListenAddress(host, config_.serving.port + index_);
    auto server = net::HttpServer::ListenOn(loop_.get(), address, limits);
    if (!server) {
      return Refuse(message,
                    fmt::format("--host, --port: cannot listen on {}: {}{}", address,
                                server.error().what, OsText(server.error())),
                    server.error());
    }
    (*server)->SetErrorBody(ServerErrorBody);
    AddRoutes(server->get());
    port_ = (*server)->port();
    servers_.push_back(std::move(*server));
  }
  return {};
}

void RankServer::Start() {
  if (events_ != nullptr) {
    const Status started = events_->Start();
    HR_CHECK(started.has_value());
  }
  for (const auto& server : servers_) server->Start();
  // Signals are for the main thread: the new one starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), fmt::format("rank{}", index_).c_str());
    loop_->Run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void RankServer::Close() {
  loop_->Post([this] { rank_->Close(); });
}

bool RankServer::idle() {
  // The other thread may still be busy with it when the answer is here.
  const auto asked = std::make_shared<std::promise<bool>>();
  loop_->Post([this, asked] { asked->set_value(rank_->idle()); });
  return asked->get_future().get();
}

net::HttpReply RankServer::Body(std::string body) const {
  net::HttpReply reply{.body = std::move(body)};
  reply.header_lines = header_lines_;
  return reply;
}

net::HttpReply RankServer::Refusal(const ApiError& error) const {
  return ErrorReply(error, header_lines_);
}

void RankServer::AddRoutes(net::HttpServer* server) {
  for (const GenerateEndpoint& endpoint : GenerateEndpoints()) {
    server->HandleExchange("POST", std::string(endpoint.path),
                           [this, &endpoint](const std::shared_ptr<net::HttpExchange>& exchange) {
                             if (config_.serving.log_http) {
                               HR_INFO("POST {} {}", endpoint.path, exchange->request().body);
                             }
                             rank_->Generate(endpoint, exchange);
                           });
  }
  AddTextRoutes(server, rank_.get(), config_.model.embedding_dimensions);
  AddHealth(server);
  AddModels(server);
  AddSleep(server);
  AddAdmin(server);
  AddSources(server);
}

void RankServer::AddHealth(net::HttpServer* server) {
  server->Handle("GET", "/health", [this](const net::HttpRequest&) { return Body(""); });
  const auto ready = [this](const net::HttpRequest&) {
    if (MonotonicNow() - started_ >= config_.serving.startup_duration) return Body("");
    return Refusal({503, "The server is starting"});
  };
  server->Handle("GET", "/health/ready", ready);
  server->Handle("GET", "/ready", ready);
  server->Handle("GET", "/version",
                 [this](const net::HttpRequest&) { return Body(VersionBody(Version())); });
  server->Handle("GET", "/metrics", [this](const net::HttpRequest&) {
    if (events_ != nullptr) rank_->metrics()->EventGaps(events_->numbers().unsent);
    net::HttpReply reply = Body(rank_->Scrape(UnixSeconds()));
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return reply;
  });
}

void RankServer::AddModels(net::HttpServer* server) {
  const int64_t created = static_cast<int64_t>(UnixSeconds());
  server->Handle("GET", "/v1/models", [this, created](const net::HttpRequest&) {
    return Body(ModelsBody({.model = config_.model.name,
                            .aliases = config_.model.served_names,
                            .adapters = rank_->loras()->List(),
                            .max_model_len = config_.model.max_model_len,
                            .created_s = created}));
  });
  server->Handle("POST", "/v1/load_lora_adapter", [this](const net::HttpRequest& http) {
    const auto load = ParseLoraLoad(http.body);
    if (!load) return Refusal(load.error());
    const std::string& name = load->adapter.name;
    if (rank_->loras()->Find(name) != nullptr && !load->in_place) return Refusal(LoraExists(name));
    if (!rank_->loras()->Load(load->adapter)) {
      return Refusal({400, fmt::format("There are {} adapters already", kMaxLoraAdapters)});
    }
    return Body("");
  });
  server->Handle("POST", "/v1/unload_lora_adapter", [this](const net::HttpRequest& http) {
    const auto name = ParseLoraUnload(http.body);
    if (!name) return Refusal(name.error());
    if (!rank_->loras()->Unload(*name)) return Refusal(LoraUnknown(*name));
    return Body("");
  });
}

// Effective only where the flag and the environment allow it; requests are served all the same.
void RankServer::AddSleep(net::HttpServer* server) {
  server->Handle("GET", "/is_sleeping",
                 [this](const net::HttpRequest&) { return Body(IsSleepingBody(asleep())); });
  server->Handle("POST", "/sleep", [this](const net::HttpRequest& http) {
    const auto call = ParseSleep(http.query_text);
    if (!call) return Refusal(call.error());
    if (!config_.serving.may_sleep()) return Body("");
    asleep_ = true;
    rank_->SetCacheAwake(false);
    if (rank_->cache() != nullptr) rank_->cache()->Clear();
    return Body("");
  });
  server->Handle("POST", "/wake_up", [this](const net::HttpRequest& http) {
    const WakeUpCall call = ParseWakeUp(http.query_text);
    if (call.tags.empty()) asleep_ = false;
    if (call.wakes_kv_cache()) rank_->SetCacheAwake(true);
    return Body("");
  });
}

net::HttpReply RankServer::Apply(const ApiResult<Config>& updated) {
  if (!updated) return Refusal(updated.error());
  config_ = *updated;
  rank_->latency()->Set(config_.latency);
  rank_->failures()->Set(config_.failures);
  ShowFakes();
  return Body(AdminConfigBody(config_));
}

void RankServer::AddAdmin(net::HttpServer* server) {
  server->Handle("GET", "/admin/config",
                 [this](const net::HttpRequest&) { return Body(AdminConfigBody(config_)); });
  server->Handle("POST", "/admin/config", [this](const net::HttpRequest& http) {
    return Apply(UpdateConfig(config_, http.body));
  });
  server->Handle("POST", "/fake_metrics", [this](const net::HttpRequest& http) {
    net::HttpReply reply = Apply(UpdateFakeMetricsOf(config_, http.body));
    if (reply.status != 200) return reply;
    reply.status = 204;
    reply.body.clear();
    return reply;
  });
}

void RankServer::AddSources(net::HttpServer* server) {
  server->Handle("GET", "/query", [this](const net::HttpRequest&) {
    const MooncakeRank rank{.rank = index_, .engine_id = engine_id_};
    return Body(MooncakeQueryBody({&rank, 1}));
  });
  server->Handle("GET", "/kv_event_sources", [this](const net::HttpRequest&) {
    KvEventSource source{.rank = index_};
    if (events_ != nullptr) {
      source.endpoint = events_->endpoint();
      source.replay_endpoint = events_->replay_endpoint();
      source.topic = topic_;
      source.buffer_steps = config_.events.replay_queue;
    }
    return Body(KvEventSourcesBody({&source, 1}));
  });
}

void RankServer::ShowFakes() {
  loop_->CancelTimer(fakes_timer_);
  fakes_timer_ = 0;
  if (!config_.fake_metrics) return rank_->metrics()->SetFake(std::nullopt);
  rank_->metrics()->SetFake(FakeValuesAt(*config_.fake_metrics, MonotonicNow() - started_));
  RefreshFakes();
}

void RankServer::RefreshFakes() {
  const Time now = MonotonicNow();
  rank_->metrics()->SetFakeGauges(FakeGaugesAt(*config_.fake_metrics, now - started_));
  fakes_timer_ = loop_->At(now + config_.fake_metrics_refresh, [this] { RefreshFakes(); });
}

}  // namespace headrace::sim
