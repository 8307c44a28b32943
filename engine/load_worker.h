// Loads: from the end of the leased prefix towards its start, all or error. Every block that is
// read is pinned until its copy is fenced. The core's thread.
#pragma once

#include "engine/command.h"
#include "engine/leasing.h"
#include "engine/transfers.h"

namespace headrace::engine {

class LoadWorker : public TransferWorker {
 public:
  struct Parts {
    Context* context = nullptr;
    NamespaceTable* namespaces = nullptr;
    BlockCache* cache = nullptr;
    Leasing* leasing = nullptr;
    Transfers* transfers = nullptr;
  };
  explicit LoadWorker(const Parts& parts) : p_(parts) {}

  // Whether the message makes sense for this registration and lease.
  Status Validate(const wire::Load& load, const Registration& registration) const;
  // REQUIRES: Validate succeeded in this Apply. Consumes one of the lease's consumers.
  void Prepare(Transfer* transfer, const wire::Load& load);

  void Slice(Transfer* transfer) override;
  const char* Settle(Transfer* transfer, const Job& job, const wire::CopyDone& done) override;
  void Stop(Transfer* transfer) override;
  void Answer(Transfer* transfer, Reply* reply) override;

 private:
  struct Batch {
    std::vector<SlotIndex> slots;
    std::vector<wire::BlockCopy> copies;
  };
  struct Batches {
    Batch groups[wire::kMaxGroups];
    uint64_t blocks = 0;
  };

  const char* WhyGone(const Transfer& transfer) const;
  bool CollectOne(Transfer* transfer, Batches* batches);
  void Drop(Batches* batches);
  void Flush(Transfer* transfer, Batches* batches);
  void Step(Transfer* transfer);

  Parts p_;
};

}  // namespace headrace::engine
