// The copying side of a channel: threads that take jobs from it, copy, and complete them. Used by
// the server itself and by a mover process.
//
// Loads go before saves, because an engine waits for them, but a save gets its turn after
// kLoadsPerSave pieces of loads. Among equals jobs take turns, a piece (a block, or as many small
// ones as make a chunk) at a time, so that a huge job does not hold up a small one; several threads
// may work at pieces of one job.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/time.h"
#include "transport/local/buffer.h"
#include "transport/local/channel.h"
#include "transport/local/reaper.h"
#include "wire/copy.h"

namespace headrace::transport {

inline constexpr uint32_t kMaxMoverThreads = 256;
inline constexpr uint32_t kMaxRegions = 4096;

class Workers {
 public:
  // The channel must outlive it; nobody else may take from it.
  Workers(Channel* channel, uint64_t chunk_bytes);
  ~Workers();  // stops first
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void Start(uint32_t threads);
  // Threads end at their next chunk; at return none touches any memory. Jobs are left unanswered.
  void Stop();

  // Control side: one thread, beside the copying ones.
  Status AddRegion(std::unique_ptr<TouchedMapping> region);
  void AddBuffer(wire::BufferId id, std::unique_ptr<Buffer> buffer);
  // Takes no time: what the buffer maps is taken apart by another thread.
  void DropBuffer(wire::BufferId id);
  // Messages up to `seq` have been carried out: jobs that waited for them may start.
  void AdvanceControl(uint64_t seq);

  uint64_t busy_nanos() const;  // CPU time of the threads

 private:
  struct Job {
    JobHead head;
    std::vector<wire::BlockCopy> blocks;
    std::shared_ptr<Buffer> buffer;
    uint32_t* gate = nullptr;
    size_t next_block = 0;  // blocks before it were handed out
    uint32_t active = 0;    // pieces in threads' hands
    bool queued = false;
    Errc end = Errc::kOk;  // why it ended early
    uint64_t bytes = 0;
  };
  struct Piece {
    Job* job = nullptr;
    std::span<const wire::BlockCopy> blocks;
    Errc code = Errc::kOk;
    uint64_t bytes = 0;
  };
  struct Scratch {  // a thread's own
    std::vector<Run> now, next;
  };

  void ThreadMain(uint32_t number);
  void Idle(std::unique_lock<std::mutex>* lock);
  void CopyPiece(Piece* piece, Scratch* scratch) const;
  Errc Interrupted(const Job& job) const;

  // Under mutex_.
  bool TakePiece(Piece* piece);
  void FinishPiece(const Piece& piece);
  void DrainRing();
  void Admit(std::unique_ptr<Job> job);
  void SweepCancelled();
  Job* Pick();
  std::deque<Job*>& QueueOf(const Job& job);
  void Complete(Job* job);
  void Count(const Job& job, const wire::CopyDone& done);
  std::unique_ptr<Job> NewJob();

  // Set once.
  Channel* const channel_;
  const uint64_t chunk_bytes_;
  Reaper reaper_;  // outlives every buffer below
  std::vector<std::thread> threads_;

  // Written by the control side before jobs that name them; entries never change.
  std::vector<std::unique_ptr<TouchedMapping>> regions_;

  mutable std::mutex mutex_;
  uint32_t num_regions_ = 0;
  std::unordered_map<wire::BufferId, std::shared_ptr<Buffer>> buffers_;
  std::unordered_map<wire::Ticket, std::unique_ptr<Job>> jobs_;
  std::vector<std::unique_ptr<Job>> spare_jobs_;
  std::deque<Job*> loads_, saves_;
  std::vector<std::unique_ptr<Job>> waiting_;  // for control messages
  uint64_t control_seq_ = 0;
  uint32_t cancels_seen_ = 0;
  uint32_t loads_in_a_row_ = 0;
};

}  // namespace headrace::transport
