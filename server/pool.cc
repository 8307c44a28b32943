#include "server/pool.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::server {
namespace {

using transport::AvailableMemory;
using transport::CreateRegion;
using transport::HugePages;
using transport::MemoryBudget;
using transport::PageKind;

tl::unexpected<Error> Refuse(std::string* message, std::string text, const Error& error) {
  *message = std::move(text);
  return Fail(error);
}

// What there is for the pool. A server that ended a moment ago may still be giving its memory back
// (server/heir.h): while more comes, it is worth waiting for.
MemoryBudget BudgetFor(uint64_t wanted) {
  constexpr int kTries = 50;
  constexpr useconds_t kPauseMicros = 100'000;
  constexpr uint64_t kGrowth = 16ull << 20;  // in one pause
  MemoryBudget budget = AvailableMemory(false);
  for (int i = 0; i < kTries && budget.bytes < wanted; ++i) {
    ::usleep(kPauseMicros);
    const MemoryBudget later = AvailableMemory(false);
    const bool grows = later.bytes >= budget.bytes + kGrowth;
    budget = later;
    if (!grows) break;
  }
  return budget;
}

Status CheckBudget(const ServerOptions& options, const MemoryBudget& budget, std::string* message) {
  if (options.pool_bytes <= budget.bytes) return {};
  return Refuse(message,
                fmt::format("--pool-size: {} is more than this machine can give now: {} by {}; "
                            "write {}mb or less",
                            FormatSize(options.pool_bytes), FormatSize(budget.bytes), budget.limit,
                            budget.bytes >> 20),
                {Errc::kNoSpace, 0, "the pool is too large"});
}

// Whether pages are locked: as told, or where the machine allows it for the whole pool.
Status DecideLock(const ServerOptions& options, Pool* pool, std::string* message) {
  if (options.lock_memory == "off" || options.pool_bytes == 0) return {};
  const MemoryBudget budget = AvailableMemory(true);
  pool->lock = options.pool_bytes <= budget.bytes;
  if (pool->lock) return {};
  if (options.lock_memory == "auto") {
    pool->warning = fmt::format("the pool is not locked and may be swapped out: {} allows {}",
                                budget.limit, FormatSize(budget.bytes));
    return {};
  }
  return Refuse(message,
                fmt::format("--lock-memory: {} allows {}, the pool has {}; raise it, or write auto",
                            budget.limit, FormatSize(budget.bytes), FormatSize(options.pool_bytes)),
                {Errc::kNoSpace, 0, "the pool cannot be locked"});
}

Status AddRegions(const ServerOptions& options, Pool* pool, engine::PoolShape* shape,
                  std::string* message) {
  for (uint64_t left = options.pool_bytes; left > 0;) {
    const uint64_t bytes = std::min(left, options.region_bytes);
    auto region = CreateRegion(fmt::format("pool-{}", pool->regions.size()), bytes, options.huge);
    if (!region) {
      const bool huge = options.huge == HugePages::kRequire;
      return Refuse(
          message,
          fmt::format("--{}: {}{}", huge ? "huge-pages" : "pool-size", region.error().what,
                      huge ? "; reserve them (vm.nr_hugepages), or write auto" : ""),
          region.error());
    }
    pool->regions.push_back(std::move(*region));
    shape->regions.push_back({bytes, 0});
    left -= bytes;
  }
  return {};
}

}  // namespace

const char* Pool::PagesKind() const {
  if (regions.empty()) return "none";
  const auto least =
      std::min_element(regions.begin(), regions.end(),
                       [](const auto& a, const auto& b) { return a.pages < b.pages; });
  return transport::PageKindName(least->pages);
}

Result<Pool> CreatePool(const ServerOptions& options, uint64_t epoch, std::string* message) {
  HR_RETURN_IF_ERROR(CheckBudget(options, BudgetFor(options.pool_bytes), message));
  Pool pool;
  HR_RETURN_IF_ERROR(DecideLock(options, &pool, message));
  HR_CHECK(options.page_bytes != 0 && options.pool_bytes % options.page_bytes == 0);
  pool.page_bytes = options.page_bytes;
  pool.total_bytes = options.pool_bytes;

  engine::PoolShape shape{.page_bytes = options.page_bytes,
                          .min_slot_bytes = options.min_slot_bytes,
                          .max_namespaces = options.engine.max_namespaces,
                          .regions = {}};
  HR_RETURN_IF_ERROR(AddRegions(options, &pool, &shape, message));
  auto memory = CreateRegion("meta", shape.MetaBytes(), HugePages::kOff);
  if (!memory) {
    return Refuse(message,
                  fmt::format("--pool-size: {} for the pool's tables: {}",
                              FormatSize(shape.MetaBytes()), memory.error().what),
                  memory.error());
  }
  pool.meta_memory = std::move(*memory);
  auto meta = engine::PoolMeta::Format(
      {pool.meta_memory.mapping.data(), pool.meta_memory.mapping.size()}, shape, epoch);
  if (!meta)
    return Refuse(message, fmt::format("--pool-size: {}", meta.error().what), meta.error());
  pool.meta = std::move(*meta);
  for (const wire::PageRecord& page : pool.meta.pages()) {
    HR_CHECK(page.region < pool.regions.size());
    pool.pages.push_back({page.region, page.offset});
  }
  HR_CHECK(pool.pages.size() == options.pool_bytes / options.page_bytes);
  return pool;
}

}  // namespace headrace::server
