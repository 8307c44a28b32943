#include "server/growth.h"

#include <cstring>
#include <utility>

#include "base/log.h"

namespace headrace::server {
namespace {

constexpr Duration kReportEvery = seconds(2);
constexpr Duration kBatch = milliseconds(10);  // pages that are ready wait no longer than this
constexpr uint32_t kBatchPages = 64;

}  // namespace

PoolGrowth::PoolGrowth(const Pool* pool, Ready ready)
    : PoolGrowth(pool, std::move(ready), [pool](const PagePlace& page) {
        return transport::Populate(pool->regions[page.region], page.offset, pool->page_bytes,
                                   pool->lock);
      }) {}

PoolGrowth::PoolGrowth(const Pool* pool, Ready ready, Back back)
    : pool_(pool), ready_(std::move(ready)), back_(std::move(back)) {
  HR_CHECK(pool_ != nullptr && ready_ != nullptr && back_ != nullptr);
}

PoolGrowth::~PoolGrowth() {
  RequestStop();
  Join();
}

void PoolGrowth::Start() {
  HR_CHECK(!thread_.joinable());
  started_nanos_.store(ToWire(MonotonicNow()));
  thread_ = std::thread([this] { Run(); });
}

void PoolGrowth::Join() {
  if (thread_.joinable()) thread_.join();
}

void PoolGrowth::Run() {
  const auto total = static_cast<uint32_t>(pool_->pages.size());
  HR_CHECK(uint64_t{total} * pool_->page_bytes == pool_->total_bytes);
  uint32_t posted = 0;
  uint32_t backed = 0;
  Time last_post = MonotonicNow();
  Time last_report = last_post;
  while (backed < total && !stop_.load()) {
    const Status status = back_(pool_->pages[backed]);
    if (!status) {
      failed_.store(true);
      HR_ERROR("the pool stops growing at {} of {}: {} ({})",
               FormatSize(uint64_t{backed} * pool_->page_bytes), FormatSize(pool_->total_bytes),
               status.error().what, std::strerror(status.error().os));
      break;
    }
    ++backed;
    ready_bytes_.store(uint64_t{backed} * pool_->page_bytes);
    const Time now = MonotonicNow();
    if (now - last_post >= kBatch || backed - posted >= kBatchPages) {
      ready_(posted, backed - posted);
      posted = backed;
      last_post = now;
    }
    if (now - last_report >= kReportEvery && backed < total) {
      Report(backed);
      last_report = now;
    }
  }
  if (backed > posted) ready_(posted, backed - posted);
  taken_nanos_.store(ToWire(MonotonicNow()) - started_nanos_.load());
  done_.store(true);
  if (!stop_.load()) Report(backed);
}

void PoolGrowth::Report(uint32_t pages_ready) const {
  HR_INFO("pool: {} of {} ready after {:.1f} s, {} pages{}",
          FormatSize(uint64_t{pages_ready} * pool_->page_bytes), FormatSize(pool_->total_bytes),
          progress().seconds, pool_->PagesKind(), pool_->lock ? ", locked" : "");
}

PoolGrowth::Progress PoolGrowth::progress() const {
  Progress progress;
  progress.ready_bytes = ready_bytes_.load();
  progress.total_bytes = pool_->total_bytes;
  progress.done = done_.load();
  progress.failed = failed_.load();
  const int64_t started = started_nanos_.load();
  const int64_t taken = progress.done  ? taken_nanos_.load()
                        : started == 0 ? 0
                                       : ToWire(MonotonicNow()) - started;
  progress.seconds = static_cast<double>(taken) / 1e9;
  return progress;
}

}  // namespace headrace::server
