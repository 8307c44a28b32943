#include "engine/engine.h"

#include "engine/core.h"

namespace headrace::engine {

namespace {

constexpr uint32_t kParts = 7;  // with waiting work

Status ValidateLimits(const Limits& limits) {
  const bool shares = limits.high_water > 0 && limits.high_water <= 1 && limits.low_water >= 0 &&
                      limits.low_water <= limits.high_water && limits.instance_max_leased >= 0;
  if (!shares) return Fail(Errc::kInvalid, "0 <= low-water <= high-water <= 1 must hold");
  const bool slices = std::min({limits.slice_units, limits.slice_blocks, limits.slice_evictions,
                                limits.slice_sweep}) > 0 &&
                      limits.slice_units <= 65536;
  if (!slices) return Fail(Errc::kInvalid, "slices must be at least 1, slice-units at most 65536");
  if (limits.max_copies_in_flight < wire::kMaxGroups || limits.max_copies_in_flight > 1u << 20) {
    return Fail(Errc::kInvalid, "max-copies-in-flight must be 16 to 2^20");
  }
  return {};
}

}  // namespace

Engine::State::State(PoolMeta meta, Config config)
    : context_{.limits = config.limits},
      meta_(meta),
      policy_(config.policy != nullptr ? std::move(config.policy) : MakeLru()),
      namespaces_(&meta_, config.limits.max_namespaces),
      quotas_(&context_),
      sessions_(&context_) {}

Status Engine::State::Build(uint64_t seed) {
  HR_TRY(slab_, Slab::Create(&meta_, &context_.stats));
  HR_TRY(cache_, BlockCache::Create({.context = &context_,
                                     .meta = &meta_,
                                     .slab = &slab_,
                                     .namespaces = &namespaces_,
                                     .quotas = &quotas_,
                                     .policy = policy_.get()},
                                    seed));
  HR_TRY(leasing_, Leasing::Create({.context = &context_,
                                    .cache = cache_.get(),
                                    .namespaces = &namespaces_,
                                    .quotas = &quotas_}));
  evictor_ = std::make_unique<Evictor>(Evictor::Parts{.context = &context_,
                                                      .slab = &slab_,
                                                      .cache = cache_.get(),
                                                      .namespaces = &namespaces_,
                                                      .quotas = &quotas_,
                                                      .policy = policy_.get()});
  sweeper_ = std::make_unique<Sweeper>(Sweeper::Parts{.context = &context_,
                                                      .cache = cache_.get(),
                                                      .namespaces = &namespaces_,
                                                      .leasing = leasing_.get()});
  transfers_ = std::make_unique<Transfers>(
      Transfers::Parts{.context = &context_, .cache = cache_.get(), .namespaces = &namespaces_});
  saves_ = std::make_unique<SaveWorker>(SaveWorker::Parts{.context = &context_,
                                                          .namespaces = &namespaces_,
                                                          .quotas = &quotas_,
                                                          .cache = cache_.get(),
                                                          .evictor = evictor_.get(),
                                                          .transfers = transfers_.get()});
  loads_ = std::make_unique<LoadWorker>(LoadWorker::Parts{.context = &context_,
                                                          .namespaces = &namespaces_,
                                                          .cache = cache_.get(),
                                                          .leasing = leasing_.get(),
                                                          .transfers = transfers_.get()});
  transfers_->SetWorkers(saves_.get(), loads_.get());
  queries_ = std::make_unique<PrefixQuery>(PrefixQuery::Parts{.context = &context_,
                                                              .cache = cache_.get(),
                                                              .namespaces = &namespaces_,
                                                              .leasing = leasing_.get(),
                                                              .sweeper = sweeper_.get()});
  closing_ = std::make_unique<Closing>(Closing::Parts{.context = &context_,
                                                      .slab = &slab_,
                                                      .namespaces = &namespaces_,
                                                      .quotas = &quotas_,
                                                      .sessions = &sessions_,
                                                      .leasing = leasing_.get(),
                                                      .transfers = transfers_.get(),
                                                      .queries = queries_.get()});
  return {};
}

Result<std::unique_ptr<Engine::State>> Engine::State::Create(PoolMeta meta, Config config) {
  HR_RETURN_IF_ERROR(ValidateLimits(config.limits));
  const uint64_t seed = config.seed;
  std::unique_ptr<State> state(new State(meta, std::move(config)));
  HR_RETURN_IF_ERROR(state->Build(seed));
  return state;
}

void Engine::State::Apply(const Command& command, Time now, Effects* effects) {
  HR_CHECK(effects != nullptr);
  context_.now = std::max(context_.now, now);
  context_.effects = effects;
  context_.units = static_cast<int>(context_.limits.slice_units);
  std::visit([this](const auto& c) { On(c); }, command);
  RunBackground();
  context_.stats.namespaces = namespaces_.used();
  context_.effects = nullptr;
}

// Each part gets its turn to be first, so that none starves behind another one's long work.
void Engine::State::RunBackground() {
  ++turn_;
  for (uint32_t i = 0; i < kParts; ++i) {
    switch ((turn_ + i) % kParts) {
      case 0:
        leasing_->RunDue();
        transfers_->RunDue();
        break;
      case 1:
        cache_->RunBackground();
        break;
      case 2:
        closing_->RunBackground();
        break;
      case 3:
        queries_->RunBackground();
        break;
      case 4:
        sweeper_->RunBackground();
        break;
      case 5:
        transfers_->RunSlice();
        break;
      default:
        evictor_->RunBackground();
    }
  }
}

bool Engine::State::HasWork() const {
  return leasing_->HasDue() || transfers_->HasDue() || cache_->HasBackground() ||
         closing_->HasBackground() || queries_->HasBackground() || sweeper_->HasBackground() ||
         transfers_->HasRunnable() || evictor_->HasBackground();
}

std::optional<Time> Engine::State::NextDeadline() const {
  std::optional<Time> next;
  for (const auto& deadline :
       {leasing_->NextDeadline(), transfers_->NextDeadline(), cache_->NextDeadline()}) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  return next;
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::Create(PoolMeta meta, Config config) {
  HR_TRY(auto state, State::Create(meta, std::move(config)));
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

void Engine::Apply(const Command& command, Time now, Effects* effects) {
  state_->Apply(command, now, effects);
}
bool Engine::HasWork() const {
  return state_->HasWork();
}
std::optional<Time> Engine::NextDeadline() const {
  return state_->NextDeadline();
}
const Stats& Engine::stats() const {
  return state_->stats();
}
BlockIndex Engine::WalkResident(BlockIndex from, uint32_t count,
                                const std::function<void(const BlockStored&)>& visit) const {
  return state_->Walk(from, count, visit);
}
void Engine::CheckInvariants() const {
  state_->CheckInvariants();
}
uint32_t Engine::LinearHit(NamespaceId name_space, const HashList& hashes) const {
  return state_->LinearHit(name_space, hashes);
}

}  // namespace headrace::engine
