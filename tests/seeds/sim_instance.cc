#include "tests/seeds/sim_instance.h"

#include <algorithm>

#include "tests/seeds/sim_rank.h"

namespace headrace::seeds {

Chain Workload::Next(Simulation* simulation) {
  Chain chain;
  if (!chains.empty() && simulation->Chance(850)) {
    chain = chains[simulation->Below(chains.size())];
    chain.resize(simulation->Between(1, chain.size()));
  }
  const uint64_t more = simulation->Below(chain.size() > 14 ? 2 : 7);
  for (uint64_t i = 0; i < more || chain.empty(); ++i) {
    std::array<uint8_t, 32> bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(simulation->Below(256));
    chain.push_back(wire::BlockHash::Of({bytes.data(), hash_bytes}));
  }
  if (chains.size() < 40)
    chains.push_back(chain);
  else
    chains[simulation->Below(chains.size())] = chain;
  return chain;
}

class SimInstance::Rank : public SimRank {
 public:
  using SimRank::SimRank;
};

struct SimInstance::Request {
  Chain chain;
  uint32_t hit = 0;
  uint64_t lease = 0;
  uint32_t pending = 0;  // ranks that have not answered
  bool loaded = true;
};

// The connection that queries; it remembers handles as a client does.
class SimInstance::Scheduler : public Connection {
 public:
  using OnAnswer = std::function<void(uint64_t request, const wire::QueryAnswer&)>;

  Scheduler(Simulation* simulation, Coverage* coverage, SimServer* server, const Workload* workload,
            OnAnswer on_answer)
      : Connection(simulation, coverage, server),
        workload_(workload),
        on_answer_(std::move(on_answer)) {}

  void Ask(uint64_t request, const Chain& chain) {
    ++coverage_->queries;
    wire::Query query;
    query.registration = registration_;
    query.consumers = workload_->world_size;
    wire::QueryItem item;
    item.want_lease = simulation_->Chance(900);
    item.want_handle = simulation_->Chance(400);
    size_t skip = 0;
    for (auto& [handle, known] : handles_) {  // the longest known prefix would do; any is a test
      if (known.size() <= chain.size() && std::equal(known.begin(), known.end(), chain.begin())) {
        item.handle = handle;
        item.handle_blocks = static_cast<uint32_t>(known.size());
        skip = known.size();
        ++coverage_->handle_queries;
        break;
      }
    }
    std::vector<uint8_t> joined;
    for (size_t i = skip; i < chain.size(); ++i) {
      joined.insert(joined.end(), chain[i].view().begin(), chain[i].view().end());
    }
    item.hashes = wire::HashList(joined.data(), chain[0].size, chain.size() - skip);
    query.items.push_back(item);
    asked_[SendRequest(query)] = {request, item.want_handle ? chain : Chain{}};
  }

  void Release(uint64_t lease) { SendRequest(wire::Release{{lease}}); }
  void Clear() { SendRequest(wire::Clear{registration_}); }
  void Purge(const wire::BlockHash& hash) { SendRequest(wire::Purge{registration_, hash}); }

 protected:
  wire::Register Registration() override {
    wire::Register spec;
    spec.name_space = workload_->name_space;
    spec.world_size = workload_->world_size;
    spec.block_tokens = 16;
    return spec;
  }
  void OnBody(uint64_t id, Errc code, const wire::ReplyBody& body) override {
    auto found = asked_.find(id);
    if (found == asked_.end()) return;
    const auto [request, chain] = std::move(found->second);
    asked_.erase(found);
    wire::QueryAnswer answer;
    if (code == Errc::kOk) answer = std::get<wire::QueryReply>(body).answers.at(0);
    if (answer.handle != 0 && !chain.empty()) handles_[answer.handle] = chain;
    if (answer.code == Errc::kGone) handles_.clear();
    on_answer_(request, answer);
  }
  void OnLost() override {
    handles_.clear();
    auto asked = std::move(asked_);
    asked_.clear();
    for (auto& [id, entry] : asked) on_answer_(entry.first, wire::QueryAnswer{});
  }

 private:
  const Workload* workload_;
  OnAnswer on_answer_;
  std::map<uint64_t, std::pair<uint64_t, Chain>> asked_;
  std::map<uint64_t, Chain> handles_;
};

SimInstance::SimInstance(Simulation* simulation, Coverage* coverage, SimServer* server,
                         Workload* workload, Identity identity)
    : simulation_(simulation),
      coverage_(coverage),
      server_(server),
      workload_(workload),
      identity_(std::move(identity)) {
  scheduler_ = std::make_unique<Scheduler>(
      simulation, coverage, server, workload,
      [this](uint64_t request, const wire::QueryAnswer& answer) { OnAnswer(request, answer); });
  for (uint32_t rank = 0; rank < workload->world_size; ++rank) {
    RankShape shape{workload->name_space, rank, workload->world_size, workload->groups, 6};
    ranks_.push_back(std::make_unique<Rank>(simulation, coverage, server, std::move(shape)));
  }
}

SimInstance::~SimInstance() {
  Disconnect();
  *alive_ = false;
}

void SimInstance::Run() {
  acting_ = true;
  Act();
}

void SimInstance::Stop() {
  acting_ = false;
}

void SimInstance::Disconnect() {
  scheduler_->Close();
  for (auto& rank : ranks_) rank->Close();
}

void SimInstance::Crash() {
  ++coverage_->client_crashes;
  bool busy = false;
  for (auto& rank : ranks_) busy = busy || !rank->idle();
  if (busy && server_->has_work_at_mover()) ++coverage_->client_crashes_mid_copy;
  Disconnect();
}

void SimInstance::CheckCanaries() const {
  for (const auto& rank : ranks_) rank->CheckCanaries();
}

bool SimInstance::ready() const {
  if (!scheduler_->registered()) return false;
  return std::all_of(ranks_.begin(), ranks_.end(),
                     [](const auto& rank) { return rank->registered(); });
}

void SimInstance::Connect() {
  if (!scheduler_->open()) scheduler_->Open(identity_.instance, identity_.uid);
  for (auto& rank : ranks_) {
    if (!rank->open()) rank->Open(identity_.instance, identity_.uid);
  }
}

void SimInstance::Act() {
  if (!acting_) return;
  Connect();
  if (ready()) {
    if (simulation_->Chance(90)) {
      Mischief();
    } else if (requests_.size() < 6) {
      StartRequest();
    }
  }
  simulation_->Soon(milliseconds(3), [this, alive = alive_] {
    if (*alive) Act();
  });
}

void SimInstance::Mischief() {
  const auto& chain = workload_->chains.empty()
                          ? Chain{}
                          : workload_->chains[simulation_->Below(workload_->chains.size())];
  switch (simulation_->Below(30)) {
    case 0:
      ++coverage_->clears;
      return scheduler_->Clear();
    case 1:
    case 2:
      if (chain.empty()) return;
      ++coverage_->purges;
      return scheduler_->Purge(chain[simulation_->Below(chain.size())]);
    default:
      return ranks_[simulation_->Below(ranks_.size())]->RevokeOne();
  }
}

void SimInstance::StartRequest() {
  const uint64_t id = next_request_++;
  auto request = std::make_unique<Request>();
  request->chain = workload_->Next(simulation_);
  scheduler_->Ask(id, request->chain);
  requests_[id] = std::move(request);
}

void SimInstance::OnAnswer(uint64_t id, const wire::QueryAnswer& answer) {
  auto found = requests_.find(id);
  if (found == requests_.end()) return;
  Request* request = found->second.get();
  request->hit = answer.hit_blocks;
  request->lease = answer.lease;
  if (answer.hit_blocks > 0) ++coverage_->hits;
  coverage_->hit_blocks += answer.hit_blocks;
  const uint64_t mood = simulation_->Below(10);
  if (answer.lease != 0 && mood == 0) {  // forgets it: the deadline must end the lease
    requests_.erase(found);
    return;
  }
  if (answer.lease != 0 && mood == 1 && scheduler_->registered()) {
    scheduler_->Release(answer.lease);
    request->lease = 0;
  }
  if (request->lease != 0 && ready()) return LoadHit(id, request);
  request->hit = 0;
  SaveRest(request);
  requests_.erase(id);
}

void SimInstance::LoadHit(uint64_t id, Request* request) {
  const bool hybrid = workload_->groups.size() > 1;
  const uint32_t first = hybrid ? 0 : static_cast<uint32_t>(simulation_->Below(request->hit));
  request->pending = static_cast<uint32_t>(ranks_.size());
  auto done = [this, id, alive = alive_](bool ok) {
    if (!*alive) return;
    auto entry = requests_.find(id);
    if (entry == requests_.end()) return;
    entry->second->loaded = entry->second->loaded && ok;
    if (--entry->second->pending == 0) OnLoaded(id);
  };
  for (auto& rank : ranks_) {
    rank->Load(request->chain, request->lease, first, request->hit - first, done);
  }
}

void SimInstance::OnLoaded(uint64_t id) {
  Request* request = requests_.at(id).get();
  if (!request->loaded) request->hit = 0;
  SaveRest(request);
  requests_.erase(id);
}

// Saves what was not found, sometimes more, sometimes in two messages and the later half first,
// sometimes on some ranks only.
void SimInstance::SaveRest(Request* request) {
  if (!ready()) return;
  const auto end = static_cast<uint32_t>(request->chain.size());
  const uint32_t first =
      request->hit > 0 && simulation_->Chance(300) ? request->hit - 1 : request->hit;
  const uint32_t cut = first + static_cast<uint32_t>(simulation_->Below(end - first + 1));
  const bool backwards = simulation_->Chance(200);
  const bool drop_front = simulation_->Chance(40);
  for (auto& rank : ranks_) {
    if (ranks_.size() > 1 && simulation_->Chance(50)) continue;
    if (backwards) SaveOnRank(request, rank.get(), cut, end - cut);
    if (!drop_front) SaveOnRank(request, rank.get(), first, cut - first);
    if (!backwards) SaveOnRank(request, rank.get(), cut, end - cut);
  }
}

void SimInstance::SaveOnRank(Request* request, Rank* rank, uint32_t first, uint32_t count) {
  if (count > 0) rank->Save(request->chain, first, count, [] {});
}

}  // namespace headrace::seeds
