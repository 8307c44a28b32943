// Saves and loads from the request to the reply: their queue, their jobs at movers, their deadlines
// and their fences. What a slice of one does is decided by its worker (save_worker, load_worker).
//
// The fence: a slot or block that a ticket names stays as it is until that ticket's completion, and
// a request is answered only when none of its tickets is out. The core's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/cache.h"
#include "engine/session_table.h"
#include "engine/transfer.h"

namespace headrace::engine {

// What saves and loads do differently.
class TransferWorker {
 public:
  virtual ~TransferWorker() = default;
  // Hands out at most one slice; clears `walking` when all is handed out.
  virtual void Slice(Transfer* transfer) = 0;
  // A job is fenced: settle its slots. Returns null, or why the transfer cannot go on (kGone).
  virtual const char* Settle(Transfer* transfer, const Job& job, const wire::CopyDone& done) = 0;
  // Nothing more will be handed out: count the rest, let go of the cursor.
  virtual void Stop(Transfer* transfer) = 0;
  // Nothing is out any more: fill the reply.
  virtual void Answer(Transfer* transfer, Reply* reply) = 0;
};

class Transfers {
 public:
  struct Parts {
    Context* context = nullptr;
    BlockCache* cache = nullptr;
    NamespaceTable* namespaces = nullptr;
  };
  explicit Transfers(const Parts& parts) : p_(parts), deadlines_(&parts.context->pool) {}
  void SetWorkers(TransferWorker* saves, TransferWorker* loads);
  // Called when the last transfer of a registration is answered.
  void OnIdle(std::function<void(Registration*)> callback) { on_idle_ = std::move(callback); }

  // A place for one more request; fails with kLimit, or kTimeout when `deadline` is over.
  struct Request {
    Registration* registration = nullptr;
    RequestId request = 0;
    int64_t deadline = 0;  // as on the wire
    uint32_t gate = wire::kNoGate;
  };
  Result<Transfer*> Begin(const Request& request);
  // Hands out the first slice, or queues it behind others.
  void Start(Transfer* transfer);

  // One ticket. `copies` and `slots` belong together.
  void Emit(Transfer* transfer, BufferId buffer, std::vector<SlotIndex> slots,
            std::vector<wire::BlockCopy> copies);
  uint64_t room_in_flight() const;

  // Nothing more is handed out, what is out is cancelled; answered when it is fenced.
  void End(Transfer* transfer, Errc code, const char* text);
  void Cancel(Session* session, RequestId request);
  void Complete(const wire::CopyDone& done);

  void RunSlice();  // one slice of waiting work
  bool HasRunnable() const;
  void RunDue();
  bool HasDue() const;
  std::optional<Time> NextDeadline() const;

  // Adds what running jobs and cursors pin, checks their slots and counts.
  void CheckTransfers(const Slab& slab, std::vector<uint32_t>* pins) const;

 private:
  using Queue = IntrusiveList<Transfer, &Transfer::in_queue>;

  TransferWorker* WorkerOf(Transfer* transfer) {
    return transfer->is_load() ? loads_worker_ : saves_worker_;
  }
  Queue* QueueOf(Transfer* transfer) { return transfer->is_load() ? &loads_ : &saves_; }
  Transfer* NextRunnable();
  void StepOne(Transfer* transfer);
  void Enqueue(Transfer* transfer);
  void Dequeue(Transfer* transfer);
  void FinishIfDone(Transfer* transfer);
  Job* NewJob();
  Job* FindJob(Ticket ticket);

  Parts p_;
  TransferWorker* saves_worker_ = nullptr;
  TransferWorker* loads_worker_ = nullptr;
  std::function<void(Registration*)> on_idle_;

  Queue saves_, loads_;
  bool load_last_ = false;
  std::pmr::map<std::pair<Time, uint64_t>, Transfer*> deadlines_;
  std::vector<std::unique_ptr<Transfer>> pool_;
  std::vector<Transfer*> free_;
  uint64_t last_number_ = 0;

  std::vector<std::unique_ptr<Job>> jobs_;  // a ticket's low bits are an index here
  std::vector<uint32_t> free_jobs_;
  uint64_t last_serial_ = 0;
};

}  // namespace headrace::engine
