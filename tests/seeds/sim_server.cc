#include "tests/seeds/sim_server.h"

#include <algorithm>
#include <cstring>

#include "engine/eviction_policy.h"

namespace headrace::seeds {
namespace {

constexpr Duration kLink = microseconds(300);  // longest delay of a message

std::span<const uint8_t> PayloadOf(const std::string& frame) {
  return {reinterpret_cast<const uint8_t*>(frame.data()) + 4, frame.size() - 4};
}

std::array<uint8_t, 33> Packed(const wire::BlockHash& hash) {
  std::array<uint8_t, 33> out{};
  out[0] = hash.size;
  std::memcpy(&out[1], hash.bytes.data(), hash.bytes.size());
  return out;
}

wire::BlockHash Unpacked(const std::array<uint8_t, 33>& packed) {
  return wire::BlockHash::Of({&packed[1], packed[0]});
}

// Hashes of equal size in one run, with a HashList over them.
struct Joined {
  explicit Joined(const std::vector<wire::BlockHash>& hashes) {
    for (const auto& hash : hashes)
      bytes.insert(bytes.end(), hash.view().begin(), hash.view().end());
    list = wire::HashList(bytes.data(), hashes.empty() ? 0 : hashes[0].size, hashes.size());
  }
  std::vector<uint8_t> bytes;
  wire::HashList list;
};

}  // namespace

SimServer::SimServer(Simulation* simulation, Coverage* coverage, ServerShape shape)
    : simulation_(simulation), coverage_(coverage), shape_(shape) {}

SimServer::~SimServer() {
  if (mover_) mover_->Destroy();
}

void SimServer::Start() {
  HR_CHECK(!running());
  ++incarnation_;
  engine::PoolShape shape;
  shape.page_bytes = shape_.page_bytes;
  shape.min_slot_bytes = 4096;
  shape.max_namespaces = 8;
  shape.regions = {{shape_.page_bytes * shape_.pages, 0}};
  meta_bytes_.assign(shape.MetaBytes(), 0);
  regions_.assign(1, std::vector<uint8_t>(shape_.page_bytes * shape_.pages, 0xAB));
  auto meta = engine::PoolMeta::Format(meta_bytes_, shape, incarnation_);
  HR_CHECK(meta.has_value());
  meta_ = *meta;
  engine::Engine::Config config;
  config.limits = shape_.limits;
  config.seed = simulation_->random().Next();
  auto engine = engine::Engine::Create(*meta, std::move(config));
  HR_CHECK(engine.has_value());
  engine_ = std::move(*engine);
  mover_ = std::make_unique<SimMover>(simulation_, coverage_, &regions_,
                                      [this](const wire::CopyDone& done) {
                                        Deliver([this, done] {
                                          if (cancelled_.erase(done.ticket) != 0)
                                            ++coverage_->late_completions;
                                          Apply(engine::Completion{done});
                                        });
                                      });
  ScheduleGrowth();
}

void SimServer::ScheduleGrowth() {
  for (uint32_t page = 0; page < shape_.pages; ++page) {
    simulation_->Soon(milliseconds(2), [this, page, incarnation = incarnation_] {
      if (running() && incarnation == incarnation_) {
        Deliver([this, page] { Apply(engine::PageReady{page}); });
      }
    });
  }
}

void SimServer::Crash() {
  HR_CHECK(running());
  ++coverage_->server_crashes;
  if (mover_->busy()) ++coverage_->server_crashes_mid_copy;
  CountStats();
  ++incarnation_;
  mover_->Destroy();
  mover_.reset();
  engine_.reset();
  held_.clear();
  frozen_ = false;
  tick_scheduled_ = false;
  deadline_scheduled_.reset();
  buffer_owner_.clear();
  registration_names_.clear();
  registering_.clear();
  expected_.clear();
  handles_.clear();
  index_.clear();
  promises_.clear();
  cancelled_.clear();
  auto sessions = std::move(sessions_);
  sessions_.clear();
  for (auto& [id, session] : sessions) {
    if (session.peer != nullptr) session.peer->OnHangUp();
  }
}

void SimServer::Freeze(Duration duration) {
  if (frozen_) return;
  frozen_ = true;
  ++coverage_->freezes;
  if (mover_->inside_chunk()) ++coverage_->frozen_mid_chunk;
  mover_->set_frozen(true);
  simulation_->After(duration, [this, incarnation = incarnation_] {
    if (!running() || incarnation != incarnation_) return;
    frozen_ = false;
    mover_->set_frozen(false);
    auto held = std::move(held_);
    held_.clear();
    for (auto& input : held) {
      if (running() && incarnation == incarnation_) input();
    }
  });
}

void SimServer::KillMover() {
  if (!frozen_) mover_->Kill();
}

void SimServer::Deliver(std::function<void()> input) {
  if (!running()) return;
  if (frozen_) {
    held_.push_back(std::move(input));
  } else {
    input();
  }
}

engine::SessionId SimServer::Connect(Peer* peer, const std::string& instance, uint32_t uid) {
  if (!running()) return 0;
  const engine::SessionId session = next_session_++;
  sessions_[session].peer = peer;
  sessions_[session].uid = uid;
  Deliver(
      [this, session, instance, uid] { Apply(engine::OpenSession{session, instance, "", uid}); });
  return session;
}

void SimServer::Send(engine::SessionId session, std::string frame, const SharedMemory& memory) {
  auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.peer == nullptr) return;
  // One link keeps its order: each message leaves after the one before it.
  const Time earliest = std::max(found->second.next_delivery, simulation_->now());
  const Time when = earliest + Duration(simulation_->Below(kLink.count()));
  found->second.next_delivery = when;
  simulation_->After(when - simulation_->now(),
                     [this, session, frame = std::move(frame), memory, incarnation = incarnation_] {
                       if (incarnation != incarnation_) return;
                       Deliver([this, session, frame, memory] { OnFrame(session, frame, memory); });
                     });
}

void SimServer::HangUp(engine::SessionId session) {
  auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.peer = nullptr;
  const Time when = std::max(found->second.next_delivery, simulation_->now());
  simulation_->After(when - simulation_->now(), [this, session, incarnation = incarnation_] {
    if (incarnation != incarnation_) return;
    Deliver([this, session] {
      auto entry = sessions_.find(session);
      if (entry == sessions_.end() || entry->second.ended) return;
      entry->second.ended = true;
      std::erase_if(promises_, [&](const auto& p) { return p.second.session == session; });
      Apply(engine::CloseSession{session});
    });
  });
}

void SimServer::OnFrame(engine::SessionId session, const std::string& frame,
                        const SharedMemory& memory) {
  auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.ended) return;
  auto decoded = wire::DecodeRequest(PayloadOf(frame));
  HR_CHECK(decoded.has_value());
  const wire::RequestFrame& request = *decoded;
  const engine::RequestId id = request.id;
  if (std::holds_alternative<wire::Register>(request.body)) {
    OnRegister(session, request, memory);
  } else if (const auto* query = std::get_if<wire::Query>(&request.body)) {
    ExpectHits(session, request);
    Apply(engine::Query{session, id, query});
  } else if (const auto* save = std::get_if<wire::Save>(&request.body)) {
    Apply(engine::Save{session, id, save});
  } else if (const auto* load = std::get_if<wire::Load>(&request.body)) {
    promises_.erase(load->lease);  // the copies pin the blocks from here on
    Apply(engine::Load{session, id, load});
  } else if (const auto* release = std::get_if<wire::Release>(&request.body)) {
    for (const uint64_t lease : release->leases) promises_.erase(lease);
    Apply(engine::Release{session, release});
  } else if (const auto* clear = std::get_if<wire::Clear>(&request.body)) {
    Apply(engine::Clear{session, id, clear->registration});
  } else if (const auto* purge = std::get_if<wire::Purge>(&request.body)) {
    Apply(engine::Purge{session, id, purge->registration, purge->hash});
  } else if (const auto* cancel = std::get_if<wire::Cancel>(&request.body)) {
    Apply(engine::Cancel{session, cancel->request});
  } else {
    HR_CHECK(false);
  }
}

void SimServer::OnRegister(engine::SessionId session, const wire::RequestFrame& request,
                           const SharedMemory& memory) {
  const auto& spec = std::get<wire::Register>(request.body);
  engine::Register command{session, request.id, &spec, {}};
  for (uint32_t group = 0; group < spec.groups.size(); ++group) {
    const wire::GroupSpec& groups = spec.groups[group];
    const uint64_t bytes = memory->buffers.at(groups.buffer).size();
    HR_CHECK(wire::ValidateLayout(groups.layout, bytes).has_value());
    const wire::BufferId id = next_buffer_++;
    mover_->AddBuffer(id, memory, groups.buffer, groups.layout);
    buffer_owner_[id] = session;
    sessions_.at(session).buffers.push_back(id);
    command.buffers.push_back(id);
  }
  registering_[{session, request.id}] = std::string(spec.name_space);
  Apply(command);
}

void SimServer::ExpectHits(engine::SessionId session, const wire::RequestFrame& request) {
  const auto& query = std::get<wire::Query>(request.body);
  auto name = registration_names_.find({session, query.registration});
  if (name == registration_names_.end()) return;
  const auto records = meta_->namespaces();
  uint32_t name_space = 0;
  while (name_space < records.size() &&
         !(records[name_space].used == 1 &&
           std::string_view(records[name_space].name, records[name_space].name_bytes) ==
               name->second)) {
    ++name_space;
  }
  HR_CHECK(name_space < records.size());
  auto& expected = expected_[{session, request.id}];
  for (const wire::QueryItem& item : query.items) {
    Expected entry;
    entry.name_space = name_space;
    entry.wants_lease = item.want_lease;
    entry.wants_handle = item.want_handle;
    entry.min_blocks = item.min_blocks;
    if (item.handle != 0) {
      auto handle = handles_.find({session, item.handle});
      HR_CHECK(handle != handles_.end());
      entry.hashes = handle->second;
      HR_CHECK(item.handle_blocks <= entry.hashes.size());
      entry.hashes.resize(item.handle_blocks);
    }
    for (size_t i = 0; i < item.hashes.size(); ++i) entry.hashes.push_back(item.hashes[i]);
    const Joined joined(entry.hashes);
    entry.hit = engine_->LinearHit(name_space, joined.list);
    expected.push_back(std::move(entry));
  }
}

void SimServer::CheckHits(const engine::Reply& reply) {
  auto found = expected_.find({reply.session, reply.request});
  if (found == expected_.end()) return;
  const auto expected = std::move(found->second);
  expected_.erase(found);
  if (reply.error.code != Errc::kOk) return;
  const auto& answers = std::get<wire::QueryReply>(reply.body).answers;
  HR_CHECK(answers.size() == expected.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    const wire::QueryAnswer& answer = answers[i];
    if (answer.handle != 0 && expected[i].wants_handle) {  // a handle only ever grows
      auto& known = handles_[{reply.session, answer.handle}];
      if (known.size() < expected[i].hashes.size()) known = expected[i].hashes;
    }
    if (answer.code != Errc::kOk) {
      HR_CHECK(answer.hit_blocks == 0 && answer.lease == 0);
    } else {
      CheckHit(reply.session, answer, expected[i]);
    }
  }
}

void SimServer::CheckHit(engine::SessionId session, const wire::QueryAnswer& answer,
                         const Expected& expected) {
  const bool lease_refused =
      !shape_.strict_leases && expected.wants_lease && answer.hit_blocks == 0 && answer.lease == 0;
  if (lease_refused) return;
  ++coverage_->bisections_checked;
  // An Apply may evict before it answers: then the walk after it agrees.
  if (answer.hit_blocks != expected.hit) {
    const Joined joined(expected.hashes);
    HR_CHECK(answer.hit_blocks == engine_->LinearHit(expected.name_space, joined.list));
  }
  const bool leased = expected.wants_lease && answer.hit_blocks > expected.min_blocks;
  HR_CHECK((answer.lease != 0) == leased);
  if (!leased) return;
  const wire::BlockHash& tip = expected.hashes[answer.hit_blocks - 1];
  promises_[answer.lease] = {
      session, {expected.name_space, Packed(tip)}, simulation_->now() + shape_.limits.max_lease};
}

void SimServer::Apply(const engine::Command& command) {
  engine::Effects effects;
  engine_->Apply(command, simulation_->now(), &effects);
  if (engine_->stats().blocks_hidden > 0) ++coverage_->hidden;
  Carry(&effects);
  if (simulation_->Chance(30)) engine_->CheckInvariants();
  ScheduleTicks();
}

void SimServer::CheckPromises(const IndexKey& gone, engine::RemoveReason reason) {
  if (reason != engine::RemoveReason::kEvicted) {  // clears and purges end leases
    std::erase_if(promises_, [&](const auto& p) { return p.second.tip == gone; });
    return;
  }
  for (const auto& [lease, promise] : promises_) {
    if (promise.until <= simulation_->now()) continue;
    ++coverage_->evictions_beside_leases;
    HR_CHECK(promise.tip != gone);
  }
}

// An index that believes every event: each one must change it.
void SimServer::Listen(const engine::BlockEvent& event) {
  if (const auto* stored = std::get_if<engine::BlockStored>(&event)) {
    const IndexKey key{stored->name_space, Packed(stored->hash)};
    HR_CHECK(index_.emplace(key, Indexed{stored->parent, stored->depth}).second);
    return;
  }
  const auto& removed = std::get<engine::BlockRemoved>(event);
  const IndexKey key{removed.name_space, Packed(removed.hash)};
  HR_CHECK(index_.erase(key) == 1);
  CheckPromises(key, removed.reason);
}

void SimServer::Carry(engine::Effects* effects) {
  for (const engine::BlockEvent& event : effects->events) Listen(event);
  for (const auto& reply : effects->replies) CarryReply(reply);
  for (const auto& job : effects->copies) mover_->Submit(job);
  for (const auto& cancel : effects->cancels) {
    mover_->Cancel(cancel.ticket);
    cancelled_.insert(cancel.ticket);
  }
  for (const auto& dropped : effects->dropped_buffers) ForgetBuffer(dropped.buffer);
  for (const auto& gone : effects->gone) {
    auto found = sessions_.find(gone.session);
    HR_CHECK(found != sessions_.end() && found->second.ended && found->second.buffers.empty());
    sessions_.erase(found);
  }
}

void SimServer::ForgetBuffer(wire::BufferId id) {
  mover_->DropBuffer(id);
  auto& buffers = sessions_.at(buffer_owner_.at(id)).buffers;
  buffers.erase(std::find(buffers.begin(), buffers.end(), id));
  buffer_owner_.erase(id);
}

void SimServer::CarryReply(const engine::Reply& reply) {
  if (reply.type == wire::MessageType::kQuery) CheckHits(reply);
  if (reply.type == wire::MessageType::kRegister) {
    if (const auto* body = std::get_if<wire::RegisterReply>(&reply.body);
        body != nullptr && reply.error.code == Errc::kOk) {
      registration_names_[{reply.session, body->registration}] =
          registering_.at({reply.session, reply.request});
    }
  }
  auto found = sessions_.find(reply.session);
  if (found == sessions_.end() || found->second.peer == nullptr) return;
  wire::ReplyFrame frame{reply.type,       reply.request,    incarnation_,
                         reply.error.code, reply.error.what, reply.body};
  std::string bytes;
  wire::EncodeReply(frame, &bytes);
  simulation_->After(
      kLink, [this, session = reply.session, bytes = bytes.substr(4), incarnation = incarnation_] {
        if (incarnation != incarnation_) return;
        auto entry = sessions_.find(session);
        if (entry != sessions_.end() && entry->second.peer != nullptr)
          entry->second.peer->OnReply(bytes);
      });
}

void SimServer::ScheduleTicks() {
  if (engine_->HasWork() && !tick_scheduled_) {
    tick_scheduled_ = true;
    simulation_->Soon(microseconds(20), [this, incarnation = incarnation_] {
      if (incarnation != incarnation_) return;
      tick_scheduled_ = false;
      Deliver([this] { Apply(engine::Tick{}); });
    });
  }
  const auto deadline = engine_->NextDeadline();
  if (!deadline || (deadline_scheduled_ && *deadline_scheduled_ <= *deadline)) return;
  deadline_scheduled_ = *deadline;
  const Duration delay = std::max(Duration(0), *deadline - simulation_->now());
  simulation_->After(delay, [this, incarnation = incarnation_] {
    if (incarnation != incarnation_) return;
    deadline_scheduled_.reset();
    Deliver([this] { Apply(engine::Tick{}); });
  });
}

void SimServer::CountStats() {
  const engine::Stats& stats = engine_->stats();
  coverage_->evictions += stats.evicted_blocks;
  coverage_->lease_expiries += stats.leases_expired;
  coverage_->leases_hung_up += stats.leases_hung_up;
  coverage_->cancelled_loads += stats.cancelled_loads;
  coverage_->purged_blocks += stats.purged_blocks;
  coverage_->cleared_blocks += stats.cleared_blocks;
  coverage_->limit_hits += stats.limit_hits;
  coverage_->limit_hidden += stats.limit_hidden;
  coverage_->limit_instance_bytes += stats.limit_instance_bytes;
  coverage_->limit_save_rate += stats.limit_save_rate;
  coverage_->limit_leases += stats.limit_leases + stats.limit_leased;
  coverage_->limit_requests += stats.limit_requests;
  coverage_->page_reclaims += stats.reclaimed_pages;
  coverage_->sliced_queries += stats.sliced_queries;
  coverage_->sliced_walks += stats.sliced_walks;
}

void SimServer::CheckQuiet() {
  if (!running()) return;
  HR_CHECK(!frozen_);
  engine_->CheckInvariants();
  const engine::Stats& stats = engine_->stats();
  HR_CHECK(sessions_.empty() && stats.sessions == 0 && stats.registrations == 0);
  HR_CHECK(stats.leases == 0 && stats.leased_bytes == 0 && stats.handles == 0);
  HR_CHECK(stats.copies_in_flight == 0 && stats.requests_waiting == 0);
  HR_CHECK(!mover_->busy() && mover_->num_buffers() == 0);
  HR_CHECK(stats.blocks_hidden == 0 && stats.late_completions == 0);
  HR_CHECK(stats.blocks_visible == index_.size());
  for (const auto& [key, entry] : index_) {
    std::vector<wire::BlockHash> chain{Unpacked(key.second)};
    wire::BlockHash parent = entry.parent;
    while (!parent.empty()) {
      auto found = index_.find({key.first, Packed(parent)});
      HR_CHECK(found != index_.end());
      chain.push_back(parent);
      parent = found->second.parent;
    }
    std::reverse(chain.begin(), chain.end());
    HR_CHECK(chain.size() == entry.depth + 1);
    const Joined joined(chain);
    // A hybrid prefix may also lack the parts of other groups at its end.
    const uint32_t hit = engine_->LinearHit(key.first, joined.list);
    HR_CHECK(hit == chain.size() || meta_->namespaces()[key.first].num_groups > 1);
    ++coverage_->index_checks;
  }
  CountStats();
}

}  // namespace headrace::seeds
