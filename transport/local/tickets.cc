#include "transport/local/tickets.h"

#include <algorithm>

#include "base/log.h"

namespace headrace::transport {

Tickets::Tickets(Channel* channel) : channel_(channel) {
  const uint32_t capacity = channel->capacity();
  free_slots_.reserve(capacity);
  for (uint32_t slot = capacity; slot > 0; --slot) free_slots_.push_back(slot - 1);
}

Status Tickets::AddBuffer(const BufferImport& import) {
  const BufferFacts facts{.num_blocks = import.layout.num_blocks,
                          .slot_bytes = import.layout.slot_bytes(),
                          .num_gates = import.gate_bytes / sizeof(uint32_t)};
  if (buffers_.emplace(import.id, facts).second) return {};
  return Fail(Errc::kExists, "buffer id is in use");
}

bool Tickets::DropBuffer(wire::BufferId id) {
  const auto found = buffers_.find(id);
  if (found == buffers_.end()) return false;
  HR_CHECK(found->second.jobs == 0);
  buffers_.erase(found);
  return true;
}

Status Tickets::Check(const Job& job, const BufferFacts& buffer) const {
  if (job.gate != wire::kNoGate && job.gate >= buffer.num_gates) {
    return Fail(Errc::kInvalid, "gate lies beyond the gate page");
  }
  for (const wire::BlockCopy& block : job.blocks) {
    if (block.block >= buffer.num_blocks) return Fail(Errc::kInvalid, "block id out of range");
    HR_CHECK(block.region < region_bytes_.size());
    const uint64_t bytes = region_bytes_[block.region];
    HR_CHECK(buffer.slot_bytes <= bytes && block.slot_offset <= bytes - buffer.slot_bytes);
  }
  return {};
}

Status Tickets::Submit(const Job& job, uint64_t control_seq) {
  const auto buffer = buffers_.find(job.buffer);
  if (buffer == buffers_.end()) return Fail(Errc::kNotFound, "buffer is not registered");
  const uint64_t takes = std::max<uint64_t>(job.blocks.size(), 1);
  if (takes > channel_->capacity()) return Fail(Errc::kInvalid, "job is larger than the ring");
  if (takes > channel_->capacity() - blocks_used_) return Fail(Errc::kLimit, "ring is full");
  HR_RETURN_IF_ERROR(Check(job, buffer->second));
  HR_CHECK(!free_slots_.empty());

  const Pending pending{.slot = free_slots_.back(),
                        .blocks = static_cast<uint32_t>(takes),
                        .buffer = job.buffer,
                        .deadline = ToWire(job.deadline)};
  HR_CHECK(pending_.emplace(job.ticket, pending).second);
  free_slots_.pop_back();
  blocks_used_ += takes;
  ++buffer->second.jobs;
  JobHead head;
  head.ticket = job.ticket;
  head.deadline = pending.deadline;
  head.control_seq = control_seq;
  head.slot = pending.slot;
  head.buffer = job.buffer;
  head.gate = job.gate;
  head.blocks = static_cast<uint32_t>(job.blocks.size());
  head.direction = job.direction;
  for (const wire::BlockCopy& block : job.blocks) HR_CHECK(channel_->blocks().TryPush(block));
  HR_CHECK(channel_->heads().TryPush(head));
  return {};
}

void Tickets::Cancel(wire::Ticket ticket) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  channel_->cancel_word(found->second.slot).store(1, std::memory_order_release);
  channel_->header().cancels.fetch_add(1, std::memory_order_release);
}

void Tickets::Forget(std::unordered_map<wire::Ticket, Pending>::iterator pending) {
  const Pending& gone = pending->second;
  channel_->cancel_word(gone.slot).store(0, std::memory_order_relaxed);
  free_slots_.push_back(gone.slot);
  blocks_used_ -= gone.blocks;
  const auto buffer = buffers_.find(gone.buffer);
  HR_CHECK(buffer != buffers_.end() && buffer->second.jobs > 0);
  --buffer->second.jobs;
  pending_.erase(pending);
}

size_t Tickets::Collect(std::vector<wire::CopyDone>* out) {
  size_t count = 0;
  wire::CopyDone done;
  while (channel_->done().TryPop(&done)) {
    const auto found = pending_.find(done.ticket);
    if (found == pending_.end()) {  // never trusted to be right: it may be a process gone mad
      HR_ERROR("the mover answers ticket {}, which it was not given", done.ticket);
      continue;
    }
    Forget(found);
    out->push_back(done);
    ++count;
  }
  return count;
}

size_t Tickets::FailAll(Errc code, std::vector<wire::CopyDone>* out) {
  const size_t count = pending_.size();
  while (!pending_.empty()) {
    out->push_back({.ticket = pending_.begin()->first, .code = code});
    Forget(pending_.begin());
  }
  return count;
}

Time Tickets::EarliestDeadline() const {
  int64_t earliest = 0;
  for (const auto& [ticket, pending] : pending_) {
    if (pending.deadline == 0) continue;
    if (earliest == 0 || pending.deadline < earliest) earliest = pending.deadline;
  }
  return FromWire(earliest);
}

}  // namespace headrace::transport
