// Saves: which parts are new, whether they are let in, and where they go. Dedup and admission are
// decided before the copy. The core's thread.
#pragma once

#include "engine/command.h"
#include "engine/evictor.h"
#include "engine/transfers.h"

namespace headrace::engine {

class SaveWorker : public TransferWorker {
 public:
  struct Parts {
    Context* context = nullptr;
    NamespaceTable* namespaces = nullptr;
    Quotas* quotas = nullptr;
    BlockCache* cache = nullptr;
    Evictor* evictor = nullptr;
    Transfers* transfers = nullptr;
  };
  explicit SaveWorker(const Parts& parts) : p_(parts) {}

  // Whether the message makes sense for this registration; the error's text names the field.
  Status Validate(const wire::Save& save, const Registration& registration) const;
  void Prepare(Transfer* transfer, const Save& command);

  void Slice(Transfer* transfer) override;
  const char* Settle(Transfer* transfer, const Job& job, const wire::CopyDone& done) override;
  void Stop(Transfer* transfer) override;
  void Answer(Transfer* transfer, Reply* reply) override;

 private:
  struct Batch {
    std::vector<SlotIndex> slots;
    std::vector<wire::BlockCopy> copies;
  };
  enum class Outcome : uint8_t { kDone, kLater, kRefused };

  void Recycle(SaveWork* work);
  bool StillStands(Transfer* transfer);
  bool StartChain(Transfer* transfer, const wire::SaveChain& chain);
  void EndChain(Transfer* transfer);
  void Refuse(Transfer* transfer, const wire::SaveChain& chain);
  void LookAhead(const Transfer& transfer, const wire::SaveChain& chain, uint32_t position) const;
  Outcome PlaceOne(Transfer* transfer, const wire::SaveChain& chain, Batch* batch);
  Outcome FillOne(Transfer* transfer, const wire::SaveChain& chain, BlockIndex block, Batch* batch);
  Outcome Admit(Transfer* transfer, SizeClass size_class);
  void Flush(Transfer* transfer, const wire::SaveChain& chain, Batch* batch);
  void MoveCursor(Transfer* transfer, BlockIndex block);

  Parts p_;
  std::vector<std::vector<uint8_t>> spare_;  // copies of hashes, for the next save
};

}  // namespace headrace::engine
