// For tests: a core with its pool's metadata, a clock that only the test moves, and a mover that
// finishes copies when it is told to.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/eviction_policy.h"

namespace headrace::engine {

// A chain of hashes in which each one depends on all before it.
class Chain {
 public:
  explicit Chain(uint64_t seed, uint32_t count = 0) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {
    Grow(count);
  }
  // The same beginning, another end.
  Chain Branch(uint32_t keep, uint64_t seed, uint32_t count) const {
    Chain other = *this;
    other.bytes_.resize(size_t{keep} * 32);
    other.state_ ^= (seed + 1) * 0xd1342543de82ef95ull;
    other.Grow(count - keep);
    return other;
  }
  uint32_t size() const { return static_cast<uint32_t>(bytes_.size() / 32); }
  HashList list() const { return {bytes_.data(), 32, size()}; }
  HashList part(uint32_t from, uint32_t count) const {
    return {bytes_.data() + size_t{from} * 32, 32, count};
  }
  BlockHash operator[](uint32_t i) const { return list()[i]; }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  void Grow(uint32_t count) {
    for (uint32_t i = 0; i < count * 4; ++i) {
      state_ ^= state_ << 13;
      state_ ^= state_ >> 7;
      state_ ^= state_ << 17;
      const uint64_t word = state_ * 0x2545f4914f6cdd1dull;
      for (int b = 0; b < 8; ++b) bytes_.push_back(static_cast<uint8_t>(word >> (8 * b)));
    }
  }
  std::vector<uint8_t> bytes_;
  uint64_t state_;
};

inline wire::GroupSpec GroupOf(wire::GroupKind kind, uint64_t block_bytes, uint32_t window = 0) {
  wire::GroupSpec group;
  group.kind = kind;
  group.window_blocks = window;
  group.layout.num_blocks = 1u << 20;
  group.layout.segment_bytes = block_bytes;
  group.layout.block_stride = block_bytes;
  group.layout.layer_offsets = {0};
  return group;
}

inline std::vector<uint32_t> Ids(uint32_t count, uint32_t first = 0) {
  std::vector<uint32_t> ids(count);
  for (uint32_t i = 0; i < count; ++i) ids[i] = first + i;
  return ids;
}

struct WorldOptions {
  uint32_t pages = 4;
  uint64_t page_bytes = 64 << 10;
  uint64_t min_slot_bytes = 4096;
  Limits limits;
};

struct SaveSpec {
  uint32_t from = 0;
  uint32_t count = kNone;  // to the chain's end
  uint32_t group = 0;
  std::vector<uint32_t> blocks;  // empty: 0, 1, 2, ...
  Duration timeout{};
  uint64_t lora = 0;
  std::vector<uint32_t> tokens;
};

class World {
 public:
  explicit World(const WorldOptions& options = {}) {
    PoolShape shape;
    shape.page_bytes = options.page_bytes;
    shape.min_slot_bytes = options.min_slot_bytes;
    shape.max_namespaces = 64;
    if (options.pages > 0) shape.regions = {{options.pages * options.page_bytes, 0}};
    memory_.resize(shape.MetaBytes());
    auto meta = PoolMeta::Format(memory_, shape, 7);
    EXPECT_TRUE(meta.has_value());
    meta_ = *meta;
    auto engine = Engine::Create(meta_, {.limits = options.limits, .seed = 99});
    EXPECT_TRUE(engine.has_value());
    engine_ = std::move(*engine);
    for (uint32_t page = 0; page < options.pages; ++page) Apply(PageReady{page});
  }

  // Limits under which a pool may be filled to its last slot.
  static WorldOptions Brim(uint32_t pages) {
    WorldOptions options{.pages = pages};
    options.limits.high_water = options.limits.low_water = 1.0;
    options.limits.instance_max_leased = 1.0;
    return options;
  }

  void Apply(const Command& command) {
    Effects effects;
    engine_->Apply(command, now_, &effects);
    for (auto& reply : effects.replies) replies_.push_back(std::move(reply));
    for (auto& job : effects.copies) {
      EXPECT_FALSE(copies_.contains(job.ticket));
      copies_.emplace(job.ticket, std::move(job));
    }
    for (const auto& cancel : effects.cancels) cancelled_.push_back(cancel.ticket);
    for (const auto& drop : effects.dropped_buffers) {
      for (const auto& [ticket, job] : copies_) EXPECT_NE(job.buffer, drop.buffer);
      dropped_.push_back(drop.buffer);
    }
    for (const auto& gone : effects.gone) gone_.push_back(gone.session);
    for (auto& event : effects.events) Listen(&event);
  }

  // Of one hash in a namespace stored and removed take turns.
  void Listen(BlockEvent* event) {
    const auto key = std::visit(
        [](const auto& e) {
          return std::pair{e.name_space,
                           std::vector<uint8_t>(e.hash.view().begin(), e.hash.view().end())};
        },
        *event);
    events_.push_back(*event);
    if (auto* stored = std::get_if<BlockStored>(event)) {
      EXPECT_TRUE(listened_.insert(key).second);
      stored_.push_back(std::move(*stored));
    } else {
      EXPECT_EQ(listened_.erase(key), 1u);
      removed_.push_back(std::get<BlockRemoved>(*event));
    }
  }

  void Advance(Duration by) { now_ += by; }
  void RunTicks() {
    Apply(Tick{});  // the core learns the time
    for (int i = 0; i < 1000000 && engine_->HasWork(); ++i) Apply(Tick{});
    EXPECT_FALSE(engine_->HasWork());
  }
  void Complete(Ticket ticket, Errc code = Errc::kOk) {
    copies_.erase(ticket);
    Apply(Completion{{ticket, 0, code}});
  }
  // Everything that waits or is out comes to its end.
  void Quiet() {
    do {
      while (!copies_.empty()) Complete(copies_.begin()->first);
      RunTicks();
    } while (!copies_.empty());
  }

  SessionId Open(const std::string& instance = "a", const std::string& tenant = "",
                 uint32_t uid = 1000) {
    Apply(OpenSession{++last_session_, instance, tenant, uid});
    return last_session_;
  }
  void Close(SessionId session) { Apply(CloseSession{session}); }

  wire::Register Spec(const std::string& name, std::vector<wire::GroupSpec> groups = {},
                      uint32_t rank = 0, uint32_t world_size = 1) {
    names_.push_back(std::make_unique<std::string>(name));
    wire::Register spec{.name_space = *names_.back(), .rank = rank, .world_size = world_size};
    spec.block_tokens = 16;
    spec.groups = std::move(groups);
    return spec;
  }
  Reply Join(SessionId session, const wire::Register& spec) {
    engine::Register command{session, ++last_request_, &spec, {}};
    for (size_t g = 0; g < spec.groups.size(); ++g) command.buffers.push_back(++last_buffer_);
    Apply(command);
    return Answer(session, last_request_);
  }
  // One full-attention group of one slot of 4096 bytes.
  uint32_t JoinPlain(SessionId session, const std::string& name = "ns") {
    return Joined(session, Spec(name, {GroupOf(wire::GroupKind::kFull, 4096)}));
  }
  uint32_t Joined(SessionId session, const wire::Register& spec) {
    const Reply reply = Join(session, spec);
    EXPECT_EQ(reply.error.code, Errc::kOk) << reply.error.what;
    const auto* joined = std::get_if<wire::RegisterReply>(&reply.body);
    return joined == nullptr ? 0 : joined->registration;
  }

  // Returns the request's number; nothing is finished yet.
  RequestId SubmitSave(SessionId session, uint32_t registration, const Chain& chain,
                       const SaveSpec& spec = {}) {
    wire::SaveChain part;
    part.group = spec.group;
    part.depth = spec.from;
    if (spec.from > 0) part.parent = chain[spec.from - 1];
    const uint32_t count = spec.count == kNone ? chain.size() - spec.from : spec.count;
    part.hashes = chain.part(spec.from, count);
    part.blocks = spec.blocks.empty() ? Ids(count) : spec.blocks;
    part.lora_id = spec.lora;
    part.tokens = spec.tokens;
    wire::Save save{.registration = registration, .deadline = Deadline(spec.timeout)};
    save.chains.push_back(std::move(part));
    return SubmitChains(session, save);
  }
  RequestId SubmitChains(SessionId session, const wire::Save& save) {
    Apply(engine::Save{session, ++last_request_, &save, nullptr});
    return last_request_;
  }
  wire::SaveReply SaveAll(SessionId session, uint32_t registration, const Chain& chain,
                          const SaveSpec& spec = {}) {
    const RequestId request = SubmitSave(session, registration, chain, spec);
    Quiet();
    const Reply reply = Answer(session, request);
    const auto* saved = std::get_if<wire::SaveReply>(&reply.body);
    EXPECT_NE(saved, nullptr) << reply.error.what;
    return saved == nullptr ? wire::SaveReply{} : *saved;
  }

  wire::QueryAnswer Ask(SessionId session, uint32_t registration, const HashList& hashes,
                        bool lease = false) {
    return AskItem(session, registration, {.hashes = hashes, .want_lease = lease});
  }
  wire::QueryAnswer AskItem(SessionId session, uint32_t registration, const wire::QueryItem& item,
                            uint32_t consumers = 1) {
    const wire::Query query{.registration = registration, .consumers = consumers, .items = {item}};
    Apply(engine::Query{session, ++last_request_, &query});
    RunTicksUntilAnswered(session, last_request_);
    const Reply reply = Answer(session, last_request_);
    EXPECT_EQ(reply.error.code, Errc::kOk) << reply.error.what;
    const auto* answers = std::get_if<wire::QueryReply>(&reply.body);
    return answers == nullptr ? wire::QueryAnswer{} : answers->answers.at(0);
  }
  uint32_t Hit(SessionId session, uint32_t registration, const HashList& hashes) {
    return Ask(session, registration, hashes).hit_blocks;
  }

  // With `load_timeout` as its deadline.
  RequestId SubmitLoad(SessionId session, uint32_t registration, uint64_t lease, uint32_t first,
                       std::vector<std::vector<uint32_t>> targets) {
    wire::Load load{.registration = registration, .lease = lease, .first = first};
    for (const auto& blocks : targets) {
      load.count = std::max(load.count, static_cast<uint32_t>(blocks.size()));
    }
    load.deadline = Deadline(load_timeout);
    load.blocks_by_group = std::move(targets);
    Apply(engine::Load{session, ++last_request_, &load});
    return last_request_;
  }
  Reply LoadAll(SessionId session, uint32_t registration, uint64_t lease, uint32_t first,
                uint32_t count) {
    const RequestId request = SubmitLoad(session, registration, lease, first, {Ids(count)});
    Quiet();
    return Answer(session, request);
  }

  uint64_t ClearAll(SessionId session, uint32_t registration) {
    Apply(engine::Clear{session, ++last_request_, registration});
    return std::get<wire::ClearReply>(Answer(session, last_request_).body).generation;
  }
  bool PurgeOne(SessionId session, uint32_t registration, const BlockHash& hash) {
    Apply(engine::Purge{session, ++last_request_, registration, hash});
    return std::get<wire::PurgeReply>(Answer(session, last_request_).body).found;
  }

  bool Answered(SessionId session, RequestId request) const {
    return std::any_of(replies_.begin(), replies_.end(), [&](const Reply& reply) {
      return reply.session == session && reply.request == request;
    });
  }
  // Takes the reply; fails the test when there is none.
  Reply Answer(SessionId session, RequestId request) {
    for (auto it = replies_.begin(); it != replies_.end(); ++it) {
      if (it->session != session || it->request != request) continue;
      Reply reply = std::move(*it);
      replies_.erase(it);
      return reply;
    }
    ADD_FAILURE() << "request " << request << " was not answered";
    return {};
  }
  Errc CodeOf(SessionId session, RequestId request) { return Answer(session, request).error.code; }

  Duration load_timeout{};  // 0: none

  Engine& engine() { return *engine_; }
  const Stats& stats() const { return engine_->stats(); }
  PoolMeta& meta() { return meta_; }
  Time now() const { return now_; }
  RequestId last_request() const { return last_request_; }
  std::map<Ticket, CopyJob>& copies() { return copies_; }
  std::vector<Ticket>& cancelled() { return cancelled_; }
  std::vector<BufferId>& dropped() { return dropped_; }
  std::vector<SessionId>& gone() { return gone_; }
  std::vector<BlockStored>& stored() { return stored_; }
  std::vector<BlockRemoved>& removed() { return removed_; }
  const std::vector<BlockEvent>& events() const { return events_; }  // in their order
  std::vector<Reply>& replies() { return replies_; }

 private:
  int64_t Deadline(Duration timeout) const {
    return timeout == Duration{} ? 0 : ToWire(now_ + timeout);
  }
  void RunTicksUntilAnswered(SessionId session, RequestId request) {
    for (int i = 0; i < 100000 && !Answered(session, request); ++i) Apply(Tick{});
  }

  std::vector<uint8_t> memory_;
  PoolMeta meta_;
  std::unique_ptr<Engine> engine_;
  Time now_ = FromWire(1'000'000'000);
  SessionId last_session_ = 0;
  RequestId last_request_ = 0;
  BufferId last_buffer_ = 0;
  std::vector<std::unique_ptr<std::string>> names_;
  std::map<Ticket, CopyJob> copies_;
  std::vector<Ticket> cancelled_;
  std::vector<BufferId> dropped_;
  std::vector<SessionId> gone_;
  std::vector<BlockStored> stored_;
  std::vector<BlockRemoved> removed_;
  std::vector<BlockEvent> events_;
  std::set<std::pair<NamespaceId, std::vector<uint8_t>>> listened_;  // what events say is there
  std::vector<Reply> replies_;
};

}  // namespace headrace::engine
