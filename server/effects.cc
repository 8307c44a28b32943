#include "server/effects.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace headrace::server {

EffectCarrier::EffectCarrier(transport::Mover* mover, BufferBook* buffers, EffectSink* sink)
    : mover_(mover), buffers_(buffers), sink_(sink) {
  HR_CHECK(mover_ != nullptr && buffers_ != nullptr && sink_ != nullptr);
}

void EffectCarrier::Carry(engine::Effects* effects) {
  for (const engine::Reply& reply : effects->replies) sink_->OnReply(reply);
  for (engine::CopyJob& job : effects->copies) {
    ++counters_.jobs;
    // Behind those that wait already: the mover sees the jobs in the core's order.
    if (held_.empty() && Start(job)) continue;
    ++counters_.held_back;
    held_.push_back(std::move(job));
  }
  for (const engine::CancelJob& cancel : effects->cancels) Cancel(cancel.ticket);
  for (const engine::DropBuffer& drop : effects->dropped_buffers) buffers_->Drop(drop.buffer);
  for (const engine::SessionGone& gone : effects->gone) sink_->OnGone(gone.session);
  for (const engine::BlockEvent& event : effects->events) {
    ++(std::holds_alternative<engine::BlockStored>(event) ? counters_.stored : counters_.removed);
  }
  effects->Clear();
}

bool EffectCarrier::Start(const engine::CopyJob& job) {
  const Status submitted = mover_->Submit({.ticket = job.ticket,
                                           .direction = job.direction,
                                           .buffer = job.buffer,
                                           .gate = job.gate,
                                           .deadline = job.deadline,
                                           .blocks = job.blocks});
  if (submitted) {
    const auto owner = buffers_->Owner(job.buffer);
    HR_CHECK(owner.has_value());  // the core copies only for buffers that it was given
    const bool fresh = running_.emplace(job.ticket, Running{*owner, job.direction}).second;
    HR_CHECK(fresh);
    return true;
  }
  if (submitted.error().code == Errc::kLimit) return false;
  ++counters_.refused;
  HR_WARN("the mover refuses a copy of buffer {}: {}", job.buffer, submitted.error().what);
  ended_.push_back({job.ticket, 0, Errc::kIo});
  return true;
}

void EffectCarrier::Cancel(wire::Ticket ticket) {
  const auto held = std::find_if(held_.begin(), held_.end(), [ticket](const engine::CopyJob& job) {
    return job.ticket == ticket;
  });
  if (held == held_.end()) {
    mover_->Cancel(ticket);
    return;
  }
  // No byte of it was moved: it is fenced already.
  held_.erase(held);
  ended_.push_back({ticket, 0, Errc::kCancelled});
}

bool EffectCarrier::OnCompletion(const wire::CopyDone& done) {
  const auto found = running_.find(done.ticket);
  if (found == running_.end()) {
    HR_ERROR("the mover answers ticket {}, which does not run", done.ticket);
    return false;
  }
  const Running running = found->second;
  running_.erase(found);
  sink_->OnMoved(running.session, running.direction, done.bytes);
  return true;
}

void EffectCarrier::Retry() {
  while (!held_.empty() && Start(held_.front())) held_.pop_front();
}

std::vector<wire::CopyDone> EffectCarrier::TakeEnded() {
  return std::exchange(ended_, {});
}

}  // namespace headrace::server
