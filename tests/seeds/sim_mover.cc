#include "tests/seeds/sim_mover.h"

#include <cstring>
#include <iterator>

namespace headrace::seeds {

SimMover::SimMover(Simulation* simulation, Coverage* coverage,
                   std::vector<std::vector<uint8_t>>* regions, OnDone on_done)
    : simulation_(simulation),
      coverage_(coverage),
      regions_(regions),
      on_done_(std::move(on_done)) {}

void SimMover::AddBuffer(wire::BufferId id, SharedMemory memory, uint32_t group,
                         const wire::Layout& layout) {
  HR_CHECK(buffers_.emplace(id, Buffer{std::move(memory), group, layout}).second);
}

void SimMover::DropBuffer(wire::BufferId id) {
  for (const auto& [ticket, job] : jobs_) HR_CHECK(job.job.buffer != id);
  HR_CHECK(buffers_.erase(id) == 1);
}

void SimMover::Submit(const engine::CopyJob& job) {
  HR_CHECK(buffers_.count(job.buffer) == 1);
  HR_CHECK(!job.blocks.empty());
  Job entry;
  entry.job = job;
  HR_CHECK(jobs_.emplace(job.ticket, std::move(entry)).second);
  ScheduleStep();
}

void SimMover::Cancel(wire::Ticket ticket) {
  auto found = jobs_.find(ticket);
  if (found != jobs_.end()) found->second.cancelled = true;
}

bool SimMover::inside_chunk() const {
  for (const auto& [ticket, job] : jobs_) {
    if (job.inside) return true;
  }
  return false;
}

void SimMover::ScheduleStep() {
  if (step_scheduled_ || jobs_.empty()) return;
  step_scheduled_ = true;
  // Now and then a copy is slow enough for deadlines, cancels and crashes to meet it half done.
  const Duration most = simulation_->Chance(20) ? Duration(milliseconds(40)) : microseconds(30);
  simulation_->Soon(most, [this, alive = alive_] {
    if (*alive) Step();
  });
}

void SimMover::Step() {
  step_scheduled_ = false;
  if (!frozen_ && !jobs_.empty()) {
    auto job = jobs_.begin();
    std::advance(job, simulation_->Below(jobs_.size()));
    StepJob(job->first);
  }
  ScheduleStep();
}

uint32_t* SimMover::GateOf(const Job& job) {
  if (job.job.gate == wire::kNoGate) return nullptr;
  auto& gates = buffers_.at(job.job.buffer).memory->gates;
  HR_CHECK(job.job.gate < gates.size());
  return &gates[job.job.gate];
}

void SimMover::StepJob(wire::Ticket ticket) {
  Job& job = jobs_.at(ticket);
  if (job.inside) {
    CopySegment(&job, buffers_.at(job.job.buffer).layout.segment_bytes);
    LeaveChunk(&job);
    return;
  }
  if (job.cancelled) return Finish(ticket, Errc::kCancelled);
  if (simulation_->now() > job.job.deadline) {
    ++coverage_->mover_deadlines;
    return Finish(ticket, Errc::kTimeout);
  }
  if (job.block == job.job.blocks.size()) {
    uint32_t* gate = GateOf(job);
    if (gate != nullptr && job.job.direction == wire::Direction::kSave) {
      if (*gate & wire::Gate::kRevoked) return Finish(ticket, Errc::kCancelled);
      *gate |= wire::Gate::kCommitted;
    }
    return Finish(ticket, Errc::kOk);
  }
  if (!EnterChunk(&job)) Finish(ticket, Errc::kCancelled);
}

// The first half of a chunk: a load counts itself in at the gate and writes with the next event; a
// save only reads, so it copies at once.
bool SimMover::EnterChunk(Job* job) {
  uint32_t* gate = GateOf(*job);
  if (gate != nullptr && (*gate & wire::Gate::kRevoked)) return false;
  if (job->job.direction == wire::Direction::kSave) {
    CopySegment(job, buffers_.at(job->job.buffer).layout.segment_bytes);
    LeaveChunk(job);
    return true;
  }
  if (gate != nullptr) ++*gate;
  job->inside = true;
  return true;
}

void SimMover::CopySegment(Job* job, uint64_t bytes) {
  Buffer& buffer = buffers_.at(job->job.buffer);
  const wire::Layout& layout = buffer.layout;
  const wire::BlockCopy& copy = job->job.blocks[job->block];
  const uint32_t layer = job->segment % layout.num_layers();
  const uint32_t part = job->segment / layout.num_layers();
  auto& region = regions_->at(copy.region);
  const uint64_t in_slot = copy.slot_offset + layout.SlotOffset(layer, part);
  const uint64_t in_buffer = layout.SegmentOffset(layer, copy.block, part);
  HR_CHECK(in_slot + layout.segment_bytes <= region.size());
  auto& bytes_of_client = buffer.memory->buffers.at(buffer.group);
  HR_CHECK(in_buffer + layout.segment_bytes <= bytes_of_client.size());
  if (job->job.direction == wire::Direction::kSave) {
    std::memcpy(&region[in_slot], &bytes_of_client[in_buffer], bytes);
  } else {
    std::memcpy(&bytes_of_client[in_buffer], &region[in_slot], bytes);
  }
  job->bytes += bytes;
}

void SimMover::LeaveChunk(Job* job) {
  const wire::Layout& layout = buffers_.at(job->job.buffer).layout;
  if (job->inside) {
    job->inside = false;
    if (uint32_t* gate = GateOf(*job)) --*gate;
  }
  if (++job->segment == layout.parts * layout.num_layers()) {
    job->segment = 0;
    ++job->block;
  }
}

void SimMover::Finish(wire::Ticket ticket, Errc code) {
  const wire::CopyDone done{ticket, jobs_.at(ticket).bytes, code};
  jobs_.erase(ticket);
  simulation_->Soon(microseconds(200), [this, done, alive = alive_] {
    if (*alive) on_done_(done);
  });
}

void SimMover::Kill() {
  ++coverage_->mover_kills;
  if (busy()) ++coverage_->mover_kills_mid_copy;
  while (!jobs_.empty()) {
    Job& job = jobs_.begin()->second;
    if (job.inside) {  // torn: half of it is written; the count at the gate stays, as a dead
      CopySegment(&job, buffers_.at(job.job.buffer).layout.segment_bytes / 2);  // process leaves it
      job.inside = false;
    }
    Finish(jobs_.begin()->first, Errc::kIo);
  }
}

void SimMover::Destroy() {
  for (auto& [ticket, job] : jobs_) {
    if (job.inside) CopySegment(&job, buffers_.at(job.job.buffer).layout.segment_bytes / 2);
  }
  jobs_.clear();
  *alive_ = false;
}

}  // namespace headrace::seeds
