#include "indexer/indexer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/time.h"
#include "indexer/remote_open.h"

namespace headrace::indexer {
namespace {

constexpr Duration kTick = seconds(1);
constexpr size_t kSweepSteps = 256;  // some 10 us of what removed pods left behind
constexpr int kForbidden = 403;

FleetIndex::Options FleetOptions(const Indexer::Options& options) {
  DigestLimits digest;
  digest.pending = {.max_waiters = options.limits.max_pending,
                    .max_bytes = options.limits.max_pending_bytes,
                    .max_age = options.limits.pending_age};
  return {.hash = options.config.hash,
          .weights = options.config.weights,
          .memory_budget_bytes = options.config.memory_budget_bytes,
          .seed = options.seed,
          .digest = digest,
          .max_intents = options.limits.max_speculative,
          .place = options.config.place};
}

ApiReply OnlyForAll() {
  return IndexService::Refusal(
      {kForbidden, "",
       "this token is for scores with its own salt; a token without a salt is needed"});
}

}  // namespace

Result<std::unique_ptr<Indexer>> Indexer::Create(const Options& options, std::string* message) {
  std::unique_ptr<Indexer> indexer(new Indexer);
  HR_TRY(indexer->loop_, Loop::Create());
  FleetIndex::Options fleet = FleetOptions(options);
  if (options.config.redis) {
    fleet.loop = indexer->loop_.get();
    HR_TRY(fleet.remote,
           OpenRemoteIndex(fleet.loop, *options.config.redis, options.config.weights, message));
  }
  HR_TRY(indexer->fleet_, FleetIndex::Create(fleet, message));
  fleet.remote.reset();
  const ModelTexts::Options texts_options{.prefix_bytes = options.limits.prefix_bytes,
                                          .seed = options.seed,
                                          .max_tokens = options.limits.api.max_tokens};
  HR_TRY(auto texts, ModelTexts::Create(options.config.models, texts_options, message));
  const uint32_t threads = options.config.tokenizer_threads != 0 ? options.config.tokenizer_threads
                                                                 : options.limits.threads;
  Indexer* const self = indexer.get();
  indexer->service_ = std::make_unique<IndexService>(
      IndexService::Options{.limits = options.limits.api,
                            .threads = threads,
                            .max_waiting = options.limits.max_waiting,
                            .hash = options.config.hash,
                            .wall_seconds = options.wall_seconds,
                            .place = options.config.place},
      std::move(texts),
      [self](std::function<void(FleetIndex*)> asked) {
        self->loop_->Post([self, asked = std::move(asked)] { asked(self->fleet_.get()); });
      },
      options.observer);
  HR_RETURN_IF_ERROR(indexer->OpenSources(options, message));
  for (const std::string& note : options.config.notes) HR_WARN("index: {}", note);
  return indexer;
}

// Before the thread runs: what cannot be bound is said at the start.
Status Indexer::OpenSources(const Options& options, std::string* message) {
  const IndexConfig& config = options.config;
  const bool discovers = !config.discover.empty() || !config.pods_file.empty();
  const bool follows = !config.pods.empty() || !config.bind_endpoint.empty() || discovers;
  HR_RETURN_IF_ERROR(OpenZmq(options, follows, message));
  desk_ = std::make_unique<PodDesk>(fleet_.get(), sources_.get());
  std::vector<EventSource> listed;
  listed.reserve(config.pods.size());
  for (const PodConfig& pod : config.pods) {
    listed.push_back({.pod = pod.name,
                      .model = pod.model,
                      .endpoint = pod.endpoint,
                      .replay_endpoint = pod.replay_endpoint,
                      .topic_filter = config.topic_filter,
                      .server_key = pod.server_key});
  }
  desk_->Configure(std::move(listed));
  if (!discovers) return {};
  discovery_ = std::make_unique<Discovery>(
      loop_.get(), Discovery::Config{.apis = config.discover, .file = config.pods_file},
      [this](std::vector<EventSource> found) { desk_->Found(std::move(found)); });
  return {};
}

// Without ZeroMQ nobody can be followed; that is refused when somebody is to be.
Status Indexer::OpenZmq(const Options& options, bool needed, std::string* message) {
  auto zmq = net::CreateZmqContext();
  if (!zmq) {
    if (!needed && zmq.error().code == Errc::kUnsupported) return {};
    *message = fmt::format("kvEventsConfig: events cannot be followed: {}", zmq.error().what);
    return Fail(zmq.error());
  }
  zmq_ = std::move(*zmq);
  sources_ =
      std::make_unique<SubscriberSet>(Subscriber::Parts{.loop = loop_.get(),
                                                        .zmq = zmq_.get(),
                                                        .digest = fleet_->digest(),
                                                        .pods = fleet_->pods(),
                                                        .slots = nullptr,
                                                        .wall = options.unix_seconds},
                                      SubscriberSet::Config{.follow = {}, .keys = options.curve});
  const std::string& endpoint = options.config.bind_endpoint;
  if (endpoint.empty()) return {};
  const Status bound = sources_->Bind(endpoint, options.config.topic_filter);
  if (bound) return {};
  *message =
      fmt::format("kvEventsConfig.zmqEndpoint: {}: {}", endpoint,
                  bound.error().os != 0 ? std::strerror(bound.error().os) : bound.error().what);
  return bound;
}

Indexer::~Indexer() {
  // The thread first: nothing asks the workers to go on after that. What it was asked and did not
  // answer goes with the loop.
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  discovery_.reset();
  if (fleet_ != nullptr && fleet_->shared() != nullptr) fleet_->shared()->EndRemote();
  service_.reset();
  desk_.reset();
  sources_.reset();
  zmq_.reset();
  fleet_.reset();
}

void Indexer::Start() {
  HR_CHECK(!thread_.joinable());
  loop_->SetIdle([this] { return fleet_->index()->Sweep(kSweepSteps); });
  loop_->Post([this] { Tick(); });
  // Signals are for the main thread: the new one starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  if (discovery_ != nullptr) discovery_->Start();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Indexer::Run() {
  pthread_setname_np(pthread_self(), "index");
  loop_->Run();
}

void Indexer::Tick() {
  const Time now = loop_->now();
  fleet_->digest()->Tick(now);
  auto numbers = std::make_shared<const IndexNumbers>(Collect());
  {
    std::lock_guard lock(mutex_);
    numbers_ = std::move(numbers);
  }
  loop_->At(now + kTick, [this] { Tick(); });
}

IndexNumbers Indexer::Collect() {
  StreamNumbers streams;
  if (sources_ != nullptr) {
    sources_->ForEachStream([&](PodId pod, const FollowCounters& counters, bool) {
      streams[fleet_->pods()->ScoredAs(pod)].Add(counters);
    });
  }
  IndexNumbers numbers = NumbersOf(fleet_.get(), streams, MonotonicNow());
  if (sources_ != nullptr) {
    numbers.sources = sources_->counters();
    numbers.followed = sources_->size();
    numbers.unfollowed = sources_->failed();
  }
  numbers.texts = service_->texts().stats();
  numbers.requests_waiting = service_->workers().waiting();
  numbers.requests_refused = service_->workers().refused();
  numbers.requests_moved = service_->moved();
  return numbers;
}

std::shared_ptr<const IndexNumbers> Indexer::numbers() const {
  std::lock_guard lock(mutex_);
  return numbers_;
}

void Indexer::Stats(const Grant& grant, const IndexService::Answer& answer) {
  if (!grant.everything) return answer(OnlyForAll());
  loop_->Post([this, answer] {
    service_->WriteLater([numbers = Collect()] { return ApiReply{200, StatsBody(numbers)}; },
                         answer);
  });
}

void Indexer::AtDesk(const Grant& grant, std::function<ApiReply(PodDesk*)> ask,
                     const IndexService::Answer& answer) {
  if (!grant.everything) return answer(OnlyForAll());
  loop_->Post([this, ask = std::move(ask), answer] { answer(ask(desk_.get())); });
}

void Indexer::PutPod(const Grant& grant, std::string_view pod, std::string_view body,
                     const IndexService::Answer& answer) {
  if (!grant.everything) return answer(OnlyForAll());
  ApiError error;
  auto source = ParsePodCall(body, pod, &error);
  if (!source) return answer(IndexService::Refusal(error));
  AtDesk(grant, [source = std::move(*source)](PodDesk* desk) { return desk->Put(source); }, answer);
}

void Indexer::RemovePod(const Grant& grant, std::string pod, const IndexService::Answer& answer) {
  AtDesk(grant, [pod = std::move(pod)](PodDesk* desk) { return desk->Remove(pod); }, answer);
}

void Indexer::ListPods(const Grant& grant, const IndexService::Answer& answer) {
  AtDesk(grant, [](PodDesk* desk) { return desk->List(); }, answer);
}

}  // namespace headrace::indexer
