#include "transport/local/thread_mover.h"

#include <fmt/format.h>

#include <utility>

#include "transport/local/buffer.h"
#include "transport/local/channel.h"
#include "transport/local/copy.h"
#include "transport/local/tickets.h"
#include "transport/local/workers.h"

namespace headrace::transport {
namespace {

class ThreadMover : public Mover {
 public:
  ThreadMover(Channel channel, const MoverOptions& options)
      : channel_(std::move(channel)),
        tickets_(&channel_),
        workers_(&channel_, options.chunk_bytes),
        threads_(options.threads) {
    workers_.Start(threads_);
  }

  Status AddRegion(const SharedRegion& region) override {
    HR_RETURN_IF_ERROR(workers_.AddRegion(TouchedMapping::Borrow(region.mapping)));
    tickets_.AddRegion(region.mapping.size());
    return {};
  }

  Status AddBuffer(wire::BufferId id, const BufferSource& source,
                   const wire::Layout& layout) override {
    HR_TRY(auto import, MakeImport(id, source, layout));
    // Threads die with the process whose descriptor the session socket is anyway.
    import.session.Reset();
    HR_RETURN_IF_ERROR(tickets_.AddBuffer(import));
    auto buffer = Buffer::Open(std::move(import));
    if (!buffer) {
      tickets_.DropBuffer(id);
      return Fail(buffer.error());
    }
    workers_.AddBuffer(id, std::move(*buffer));
    return {};
  }

  void DropBuffer(wire::BufferId id) override {
    if (tickets_.DropBuffer(id)) workers_.DropBuffer(id);
  }

  Status Submit(const Job& job) override {
    HR_RETURN_IF_ERROR(tickets_.Submit(job, 0));
    channel_.Wake(1);
    return {};
  }

  void Cancel(wire::Ticket ticket) override { tickets_.Cancel(ticket); }
  int event_fd() const override { return channel_.done_fd(); }

  size_t Poll(std::vector<wire::CopyDone>* out) override {
    channel_.ClearDone();
    return tickets_.Collect(out);
  }

  MoverStats stats() const override {
    MoverStats stats = ReadStats(channel_);
    stats.busy_nanos = workers_.busy_nanos();
    return stats;
  }

  std::string Describe() const override {
    return fmt::format("{} thread{}, {}", threads_, threads_ == 1 ? "" : "s", DescribeCopies());
  }

 private:
  Channel channel_;
  Tickets tickets_;
  Workers workers_;  // stops before what it uses goes
  const uint32_t threads_;
};

}  // namespace

Result<std::unique_ptr<Mover>> CreateThreadMover(const MoverOptions& options) {
  HR_TRY(auto channel, Channel::Create(options.ring_blocks));
  return std::unique_ptr<Mover>(std::make_unique<ThreadMover>(std::move(channel), options));
}

std::string DescribeCopies() {
  return fmt::format("{} copies from {} bytes on", BestCopyKernel().name, kNonTemporalMin);
}

MoverStats ReadStats(const Channel& channel) {
  const ChannelStats& from = channel.header().stats;
  MoverStats stats;
  stats.save_bytes = from.save_bytes.load(std::memory_order_relaxed);
  stats.load_bytes = from.load_bytes.load(std::memory_order_relaxed);
  stats.shm_bytes = from.shm_bytes.load(std::memory_order_relaxed);
  stats.cma_bytes = from.cma_bytes.load(std::memory_order_relaxed);
  stats.jobs = from.jobs.load(std::memory_order_relaxed);
  stats.cancelled = from.cancelled.load(std::memory_order_relaxed);
  stats.faults = from.faults.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace headrace::transport
