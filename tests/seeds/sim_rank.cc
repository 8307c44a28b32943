#include "tests/seeds/sim_rank.h"

#include <algorithm>

namespace headrace::seeds {

Connection::Connection(Simulation* simulation, Coverage* coverage, SimServer* server)
    : simulation_(simulation), coverage_(coverage), server_(server) {}

Connection::~Connection() {
  HR_CHECK(session_ == 0);
}

void Connection::Open(const std::string& instance, uint32_t uid) {
  HR_CHECK(session_ == 0);
  session_ = server_->Connect(this, instance, uid);
  if (session_ == 0) return;
  register_id_ = SendRequest(Registration());
}

void Connection::Close() {
  if (session_ == 0) return;
  const engine::SessionId session = session_;
  session_ = 0;
  registration_ = 0;
  server_->HangUp(session);
}

uint64_t Connection::SendRequest(wire::Request body) {
  const uint64_t id = next_id_++;
  const bool registers = std::holds_alternative<wire::Register>(body);
  std::string frame;
  wire::EncodeRequest(wire::RequestFrame{id, std::move(body)}, &frame);
  server_->Send(session_, std::move(frame), registers ? Memory() : nullptr);
  return id;
}

void Connection::OnReply(const std::string& payload) {
  auto frame =
      wire::DecodeReply({reinterpret_cast<const uint8_t*>(payload.data()), payload.size()});
  HR_CHECK(frame.has_value());
  if (frame->id == register_id_) {
    if (frame->code == Errc::kOk) {
      registration_ = std::get<wire::RegisterReply>(frame->body).registration;
      HR_CHECK(registration_ != 0);
    } else {
      refused_ = true;
      if (frame->code == Errc::kPermission) ++coverage_->permission_refusals;
    }
    return;
  }
  OnBody(frame->id, frame->code, frame->body);
}

void Connection::OnHangUp() {
  session_ = 0;
  registration_ = 0;
  OnLost();
}

SimRank::SimRank(Simulation* simulation, Coverage* coverage, SimServer* server, RankShape shape)
    : Connection(simulation, coverage, server), shape_(std::move(shape)) {
  NewMemory();
}

void SimRank::NewMemory() {
  memory_ = std::make_shared<ClientMemory>();
  memory_->gates.assign(shape_.gates, 0);
  gate_taken_.assign(shape_.gates, false);
  free_.assign(shape_.groups.size(), {});
  for (uint32_t group = 0; group < shape_.groups.size(); ++group) {
    const wire::Layout& layout = shape_.groups[group].layout;
    uint64_t bytes = 0;
    for (uint32_t part = 0; part < layout.parts; ++part) {
      for (uint32_t layer = 0; layer < layout.num_layers(); ++layer) {
        bytes = std::max(
            bytes, layout.SegmentOffset(layer, layout.num_blocks - 1, part) + layout.segment_bytes);
      }
    }
    memory_->buffers.emplace_back(bytes, 0);
    for (uint32_t block = 0; block < layout.num_blocks; ++block) {
      FillCanary(layout, block, &memory_->buffers[group]);
      free_[group].push_back(block);
    }
  }
}

wire::Register SimRank::Registration() {
  wire::Register spec;
  spec.name_space = shape_.name_space;
  spec.rank = shape_.rank;
  spec.world_size = shape_.world_size;
  spec.block_tokens = 16;
  spec.has_gates = true;
  spec.groups = shape_.groups;
  for (uint32_t group = 0; group < shape_.groups.size(); ++group) {
    spec.groups[group].buffer = group;
    spec.buffers.push_back({wire::BufferKind::kDescriptor, memory_->buffers[group].size(), 0});
  }
  return spec;
}

std::optional<SimRank::Blocks> SimRank::Take(uint32_t count) {
  Blocks blocks;
  blocks.count = count;
  for (const auto& free : free_) {
    if (free.size() < count) return std::nullopt;
  }
  for (uint32_t group = 0; group < free_.size(); ++group) {
    auto& free = free_[group];
    std::vector<uint32_t> taken;
    for (uint32_t i = 0; i < count; ++i) {
      std::swap(free[simulation_->Below(free.size())], free.back());
      taken.push_back(free.back());
      free.pop_back();
      HR_CHECK(CanaryStands(shape_.groups[group].layout, taken.back(), memory_->buffers[group]));
    }
    blocks.by_group.push_back(std::move(taken));
  }
  return blocks;
}

void SimRank::Give(const Blocks& blocks) {
  for (uint32_t group = 0; group < blocks.by_group.size(); ++group) {
    for (uint32_t block : blocks.by_group[group]) {
      FillCanary(shape_.groups[group].layout, block, &memory_->buffers[group]);
      free_[group].push_back(block);
    }
  }
}

void SimRank::CheckCanaries() const {
  for (uint32_t group = 0; group < free_.size(); ++group) {
    for (uint32_t block : free_[group]) {
      HR_CHECK(CanaryStands(shape_.groups[group].layout, block, memory_->buffers[group]));
    }
  }
}

std::optional<uint32_t> SimRank::TakeGate() {
  for (uint32_t gate = 0; gate < gate_taken_.size(); ++gate) {
    if (gate_taken_[gate]) continue;
    gate_taken_[gate] = true;
    memory_->gates[gate] = 0;
    return gate;
  }
  return std::nullopt;
}

// Which groups a position has a part in, when the sequence ends at `end`.
bool SimRank::WantsPart(uint32_t group, uint32_t position, uint32_t end) const {
  const wire::GroupSpec& spec = shape_.groups[group];
  switch (spec.kind) {
    case wire::GroupKind::kFull:
      return true;
    case wire::GroupKind::kWindow:
      return position + spec.window_blocks >= end;
    case wire::GroupKind::kState:
      return position + 1 == end;
  }
  return false;
}

uint64_t SimRank::Track(wire::Request body, Submission submission) {
  const uint64_t id = SendRequest(std::move(body));
  submissions_.emplace(id, std::move(submission));
  return id;
}

void SimRank::Load(const std::vector<wire::BlockHash>& chain, uint64_t lease, uint32_t first,
                   uint32_t count, std::function<void(bool)> done) {
  auto blocks = Take(count);
  std::optional<uint32_t> gate;
  if (blocks) gate = TakeGate();
  if (!registered() || !gate) {
    if (blocks) Give(*blocks);
    return done(false);
  }
  ++coverage_->loads;
  wire::Load load;
  load.registration = registration_;
  load.lease = lease;
  load.first = first;
  load.count = count;
  load.gate = *gate;
  load.deadline = ToWire(simulation_->now() + milliseconds(simulation_->Between(5, 400)));
  for (uint32_t group = 0; group < shape_.groups.size(); ++group) {
    std::vector<uint32_t> ids = blocks->by_group[group];
    for (uint32_t i = 0; i < count; ++i) {
      if (!WantsPart(group, first + i, first + count)) ids[i] = wire::kNoBlock;
    }
    load.blocks_by_group.push_back(std::move(ids));
  }
  if (shape_.groups.size() > 1) ++coverage_->window_loads;
  Track(load, Submission{true, false, false, *gate, *blocks, chain, first, std::move(done)});
}

void SimRank::Save(const std::vector<wire::BlockHash>& chain, uint32_t first, uint32_t count,
                   std::function<void()> done) {
  auto blocks = Take(count);
  std::optional<uint32_t> gate;
  if (blocks) gate = TakeGate();
  if (!registered() || !gate || count == 0) {
    if (blocks) Give(*blocks);
    if (gate) gate_taken_[*gate] = false;
    return done();
  }
  ++coverage_->saves;
  std::vector<uint8_t> joined;
  for (uint32_t i = 0; i < count; ++i) {
    const auto view = chain[first + i].view();
    joined.insert(joined.end(), view.begin(), view.end());
  }
  wire::Save save;
  save.registration = registration_;
  save.gate = *gate;
  save.deadline = ToWire(simulation_->now() + milliseconds(simulation_->Between(5, 400)));
  for (uint32_t group = 0; group < shape_.groups.size(); ++group) {
    wire::SaveChain part;
    part.group = group;
    part.depth = first;
    if (first > 0) part.parent = chain[first - 1];
    part.hashes = wire::HashList(joined.data(), chain[0].size, count);
    part.blocks = blocks->by_group[group];
    for (uint32_t i = 0; i < count; ++i) {
      const ContentKey key{shape_.name_space, chain[first + i], group, shape_.rank};
      FillBlock(shape_.groups[group].layout, part.blocks[i], key, &memory_->buffers[group]);
      if (!WantsPart(group, first + i, first + count)) part.blocks[i] = wire::kNoBlock;
    }
    save.chains.push_back(std::move(part));
  }
  Track(save, Submission{false, false, false, *gate, *blocks, chain, first,
                         [done = std::move(done)](bool) { done(); }});
}

void SimRank::RevokeOne() {
  if (submissions_.empty() || !registered()) return;
  auto found = submissions_.begin();
  std::advance(found, simulation_->Below(submissions_.size()));
  Submission& submission = found->second;
  if (submission.revoked) return;
  submission.revoked = true;
  ++coverage_->revoked_gates;
  memory_->gates[submission.gate] |= wire::Gate::kRevoked;
  SendRequest(wire::Cancel{found->first});
  AwaitFence(found->first);
}

// A load's blocks come back when no writer is inside, a save's at once: what it copied from now on
// is never published.
void SimRank::AwaitFence(uint64_t id) {
  auto found = submissions_.find(id);
  if (found == submissions_.end() || found->second.given_back) return;
  Submission& submission = found->second;
  if (submission.load && (memory_->gates[submission.gate] & wire::Gate::kWriters) != 0) {
    ++coverage_->fences_waited;
    simulation_->After(microseconds(50), [this, id, alive = alive_] {
      if (*alive) AwaitFence(id);
    });
    return;
  }
  if (!submission.load) ++coverage_->revoked_saves;
  submission.given_back = true;
  Give(submission.blocks);
}

void SimRank::OnBody(uint64_t id, Errc code, const wire::ReplyBody& body) {
  auto found = submissions_.find(id);
  if (found == submissions_.end()) return;
  Submission submission = std::move(found->second);
  submissions_.erase(found);
  if (submission.revoked) ++coverage_->stale_replies;
  gate_taken_[submission.gate] = false;
  bool ok = code == Errc::kOk;
  if (const auto* save = std::get_if<wire::SaveReply>(&body); ok && save != nullptr) {
    coverage_->saved_blocks += save->stored;
    coverage_->deduped += save->deduped;
    coverage_->refused += save->refused;
    HR_CHECK(submission.given_back ||
             save->stored + save->deduped + save->refused + save->failed > 0);
  }
  if (submission.load && code == Errc::kGone) ++coverage_->gone_loads;
  if (submission.load && ok && !submission.given_back) VerifyLoaded(submission);
  Finish(&submission, ok);
}

void SimRank::VerifyLoaded(const Submission& submission) {
  const uint32_t end = submission.first + submission.blocks.count;
  for (uint32_t group = 0; group < shape_.groups.size(); ++group) {
    const wire::Layout& layout = shape_.groups[group].layout;
    for (uint32_t i = 0; i < submission.blocks.count; ++i) {
      const uint32_t block = submission.blocks.by_group[group][i];
      const uint32_t position = submission.first + i;
      if (!WantsPart(group, position, end)) {
        HR_CHECK(CanaryStands(layout, block, memory_->buffers[group]));
        continue;
      }
      const ContentKey key{shape_.name_space, submission.chain[position], group, shape_.rank};
      HR_CHECK(BlockHolds(layout, block, key, memory_->buffers[group]));
      ++coverage_->loaded_blocks;
      coverage_->bytes_checked += layout.slot_bytes();
    }
  }
}

void SimRank::Finish(Submission* submission, bool ok) {
  if (!submission->given_back) Give(submission->blocks);
  submission->done(ok);
}

void SimRank::OnLost() {
  auto submissions = std::move(submissions_);
  submissions_.clear();
  for (auto& [id, submission] : submissions) {
    if (!submission.given_back) Give(submission.blocks);
    submission.given_back = true;
  }
  gate_taken_.assign(shape_.gates, false);
  memory_->gates.assign(shape_.gates, 0);
  for (auto& [id, submission] : submissions) submission.done(false);
}

}  // namespace headrace::seeds
