#include "transport/local/workers.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "base/log.h"
#include "transport/local/chunks.h"
#include "transport/local/fault_guard.h"

namespace headrace::transport {
namespace {

constexpr uint32_t kLoadsPerSave = 8;
// Before a thread sleeps it looks for work this often: about a microsecond, so that a job that
// follows another closely finds a waking thread, and a shared core is not burnt.
constexpr int kSpins = 64;
constexpr size_t kMaxSpareJobs = 64;

// Copying threads take the faults of their own copies and no signal that was sent to the process.
void MaskSignals() {
  sigset_t set;
  ::sigfillset(&set);
  for (int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) ::sigdelset(&set, fault);
  HR_CHECK(::pthread_sigmask(SIG_SETMASK, &set, nullptr) == 0);
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Workers::Workers(Channel* channel, uint64_t chunk_bytes)
    : channel_(channel), chunk_bytes_(std::max<uint64_t>(chunk_bytes, 4096)) {
  regions_.resize(kMaxRegions);
  InstallFaultGuard();
}

Workers::~Workers() {
  Stop();
}

void Workers::Start(uint32_t threads) {
  HR_CHECK(threads_.empty() && threads >= 1 && threads <= kMaxMoverThreads);
  for (uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this, i] { ThreadMain(i); });
}

void Workers::Stop() {
  if (threads_.empty()) return;
  channel_->header().stop.store(1);
  channel_->Wake(static_cast<uint32_t>(threads_.size()));
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

Status Workers::AddRegion(std::unique_ptr<TouchedMapping> region) {
  std::lock_guard lock(mutex_);
  if (num_regions_ == kMaxRegions) return Fail(Errc::kLimit, "more than 4096 pool regions");
  regions_[num_regions_++] = std::move(region);
  return {};
}

void Workers::AddBuffer(wire::BufferId id, std::unique_ptr<Buffer> buffer) {
  auto shared = reaper_.Adopt(std::move(buffer));
  std::lock_guard lock(mutex_);
  buffers_[id] = std::move(shared);
}

void Workers::DropBuffer(wire::BufferId id) {
  std::lock_guard lock(mutex_);
  buffers_.erase(id);
}

void Workers::AdvanceControl(uint64_t seq) {
  {
    std::lock_guard lock(mutex_);
    control_seq_ = seq;
    std::vector<std::unique_ptr<Job>> waited = std::exchange(waiting_, {});
    for (auto& job : waited) {
      if (job->head.control_seq <= seq) {
        Admit(std::move(job));
      } else {
        waiting_.push_back(std::move(job));
      }
    }
  }
  channel_->Wake(1);
}

uint64_t Workers::busy_nanos() const {
  uint64_t sum = 0;
  for (const std::thread& thread : threads_) {
    clockid_t clock{};
    struct timespec used{};
    // native_handle() is not const, and the thread is only asked for its clock.
    auto handle = const_cast<std::thread&>(thread).native_handle();
    if (::pthread_getcpuclockid(handle, &clock) != 0) continue;
    if (::clock_gettime(clock, &used) != 0) continue;
    sum += static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
  }
  return sum;
}

void Workers::ThreadMain(uint32_t number) {
  char name[16];
  std::snprintf(name, sizeof name, "hr-copy-%u", number);
  ::pthread_setname_np(::pthread_self(), name);
  MaskSignals();
  Scratch scratch;
  std::unique_lock lock(mutex_);
  while (channel_->header().stop.load(std::memory_order_relaxed) == 0) {
    Piece piece;
    if (!TakePiece(&piece)) {
      Idle(&lock);
      continue;
    }
    const bool more = !loads_.empty() || !saves_.empty();
    lock.unlock();
    if (more) channel_->Wake(1);
    CopyPiece(&piece, &scratch);
    lock.lock();
    FinishPiece(piece);
  }
}

void Workers::Idle(std::unique_lock<std::mutex>* lock) {
  lock->unlock();
  for (int i = 0; i < kSpins; ++i) {
    if (!channel_->heads().empty()) break;
    Pause();
  }
  lock->lock();
  if (!channel_->heads().empty() || !loads_.empty() || !saves_.empty()) return;
  channel_->AnnounceSleep();
  lock->unlock();
  channel_->Sleep();
  lock->lock();
}

bool Workers::TakePiece(Piece* piece) {
  DrainRing();
  SweepCancelled();
  while (Job* job = Pick()) {
    if (job->end == Errc::kOk) job->end = Interrupted(*job);
    const size_t left = job->blocks.size() - job->next_block;
    if (job->end != Errc::kOk || left == 0) {
      if (job->active == 0) Complete(job);
      continue;
    }
    const uint64_t fit = chunk_bytes_ / job->buffer->slot_bytes();
    const size_t count = std::clamp<uint64_t>(fit, 1, left);
    *piece = {.job = job, .blocks = std::span(job->blocks).subspan(job->next_block, count)};
    job->next_block += count;
    ++job->active;
    if (count < left) {
      job->queued = true;
      QueueOf(*job).push_back(job);
    }
    return true;
  }
  return false;
}

void Workers::FinishPiece(const Piece& piece) {
  Job* job = piece.job;
  HR_CHECK(job->active > 0);
  --job->active;
  job->bytes += piece.bytes;
  if (job->end == Errc::kOk) job->end = piece.code;
  if (job->active == 0 && !job->queued) Complete(job);
}

void Workers::CopyPiece(Piece* piece, Scratch* scratch) const {
  const Job& job = *piece->job;
  const Buffer& buffer = *job.buffer;
  ChunkCursor cursor(buffer, regions_, piece->blocks, chunk_bytes_);
  cursor.Next(&scratch->now);
  while (!scratch->now.empty()) {
    cursor.Next(&scratch->next);
    piece->code = Interrupted(job);
    if (piece->code != Errc::kOk) return;
    const Run* after = scratch->next.empty() ? nullptr : scratch->next.data();
    piece->code = buffer.CopyChunk(job.head.direction, job.gate, scratch->now, after);
    if (piece->code != Errc::kOk) return;
    for (const Run& run : scratch->now) piece->bytes += run.bytes;
    std::swap(scratch->now, scratch->next);
  }
}

Errc Workers::Interrupted(const Job& job) const {
  const bool stopping = channel_->header().stop.load(std::memory_order_relaxed) != 0;
  const auto& word = channel_->cancel_word(job.head.slot);
  if (stopping || word.load(std::memory_order_acquire) != 0) return Errc::kCancelled;
  const bool late = job.head.deadline != 0 && ToWire(MonotonicNow()) >= job.head.deadline;
  return late ? Errc::kTimeout : Errc::kOk;
}

void Workers::DrainRing() {
  JobHead head;
  while (channel_->heads().TryPop(&head)) {
    auto job = NewJob();
    job->head = head;
    job->blocks.resize(head.blocks);
    for (wire::BlockCopy& block : job->blocks) HR_CHECK(channel_->blocks().TryPop(&block));
    if (head.control_seq > control_seq_) {
      waiting_.push_back(std::move(job));
    } else {
      Admit(std::move(job));
    }
  }
}

// The core's side checked every number; that it did so is checked here, because what follows are
// plain addresses.
void Workers::Admit(std::unique_ptr<Job> job) {
  const auto found = buffers_.find(job->head.buffer);
  if (found == buffers_.end() || !found->second->HasGate(job->head.gate)) {
    job->end = Errc::kIo;  // its import failed, and was logged
  } else {
    job->buffer = found->second;
    job->gate = job->buffer->gate(job->head.gate);
    const uint64_t bytes = job->buffer->slot_bytes();
    for (const wire::BlockCopy& block : job->blocks) {
      HR_CHECK(block.block < job->buffer->num_blocks() && block.region < num_regions_);
      const uint64_t size = regions_[block.region]->size();
      HR_CHECK(bytes <= size && block.slot_offset <= size - bytes);
    }
  }
  job->queued = true;
  QueueOf(*job).push_back(job.get());
  const wire::Ticket ticket = job->head.ticket;
  HR_CHECK(jobs_.emplace(ticket, std::move(job)).second);
}

// Cancelled jobs that wait for their turn are answered now, not when it comes.
void Workers::SweepCancelled() {
  const uint32_t cancels = channel_->header().cancels.load(std::memory_order_acquire);
  if (cancels == cancels_seen_) return;
  cancels_seen_ = cancels;
  for (std::deque<Job*>* queue : {&loads_, &saves_}) {
    for (size_t i = queue->size(); i > 0; --i) {
      Job* job = queue->front();
      queue->pop_front();
      if (job->end == Errc::kOk) job->end = Interrupted(*job);
      if (job->end == Errc::kOk) {
        queue->push_back(job);
        continue;
      }
      job->queued = false;
      if (job->active == 0) Complete(job);
    }
  }
}

Workers::Job* Workers::Pick() {
  const bool save_turn = loads_.empty() || loads_in_a_row_ >= kLoadsPerSave;
  std::deque<Job*>& queue = save_turn && !saves_.empty() ? saves_ : loads_;
  if (queue.empty()) return nullptr;
  loads_in_a_row_ = &queue == &loads_ ? loads_in_a_row_ + 1 : 0;
  Job* job = queue.front();
  queue.pop_front();
  job->queued = false;
  return job;
}

std::deque<Workers::Job*>& Workers::QueueOf(const Job& job) {
  return job.head.direction == wire::Direction::kLoad ? loads_ : saves_;
}

void Workers::Complete(Job* job) {
  HR_CHECK(job->active == 0 && !job->queued);
  wire::CopyDone done{.ticket = job->head.ticket, .bytes = job->bytes, .code = job->end};
  if (done.code == Errc::kOk && job->head.direction == wire::Direction::kSave) {
    done.code = job->buffer->CommitSave(job->gate);
  }
  Count(*job, done);
  const auto found = jobs_.find(done.ticket);
  HR_CHECK(found != jobs_.end());
  auto owned = std::move(found->second);
  jobs_.erase(found);
  owned->buffer.reset();
  if (spare_jobs_.size() < kMaxSpareJobs) spare_jobs_.push_back(std::move(owned));
  HR_CHECK(channel_->done().TryPush(done));
  channel_->SignalDone();
}

void Workers::Count(const Job& job, const wire::CopyDone& done) {
  ChannelStats& stats = channel_->header().stats;
  const auto add = [](std::atomic<uint64_t>* to, uint64_t n) {
    to->fetch_add(n, std::memory_order_relaxed);
  };
  const bool load = job.head.direction == wire::Direction::kLoad;
  add(load ? &stats.load_bytes : &stats.save_bytes, done.bytes);
  if (job.buffer != nullptr) {
    add(job.buffer->by_process() ? &stats.cma_bytes : &stats.shm_bytes, done.bytes);
  }
  add(&stats.jobs, 1);
  if (done.code == Errc::kCancelled) add(&stats.cancelled, 1);
  if (done.code != Errc::kIo) return;
  add(&stats.faults, 1);
  if (job.buffer != nullptr && job.buffer->FirstFault()) {
    HR_WARN("copy {} of buffer {} failed: memory of the engine or the pool is gone", done.ticket,
            job.head.buffer);
  }
}

std::unique_ptr<Workers::Job> Workers::NewJob() {
  if (spare_jobs_.empty()) return std::make_unique<Job>();
  auto job = std::move(spare_jobs_.back());
  spare_jobs_.pop_back();
  auto blocks = std::move(job->blocks);  // keeps its memory
  *job = Job{};
  job->blocks = std::move(blocks);
  return job;
}

}  // namespace headrace::transport
