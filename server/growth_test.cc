#include "server/growth.h"

#include <gtest/gtest.h>

#include <mutex>
#include <semaphore>

namespace headrace::server {
namespace {

Pool PoolOf(uint32_t pages) {
  Pool pool;
  pool.page_bytes = 4096;
  pool.total_bytes = uint64_t{pages} * 4096;
  for (uint32_t i = 0; i < pages; ++i) pool.pages.push_back({0, uint64_t{i} * 4096});
  return pool;
}

// The pages that the growth thread reported.
struct Reported {
  void Add(uint32_t first, uint32_t count) {
    const std::lock_guard lock(mutex);
    in_order = in_order && first == pages;
    pages += count;
  }
  std::mutex mutex;
  uint32_t pages = 0;
  bool in_order = true;
};

TEST(PoolGrowth, ReportsEveryPageOnceAndInOrder) {
  const Pool pool = PoolOf(1000);
  Reported reported;
  PoolGrowth growth(
      &pool, [&](uint32_t first, uint32_t count) { reported.Add(first, count); },
      [](const PagePlace&) { return Status{}; });
  growth.Start();
  growth.Join();
  EXPECT_EQ(reported.pages, 1000u);
  EXPECT_TRUE(reported.in_order);
  const auto progress = growth.progress();
  EXPECT_TRUE(progress.done);
  EXPECT_FALSE(progress.failed);
  EXPECT_EQ(progress.ready_bytes, pool.total_bytes);
}

TEST(PoolGrowth, KeepsWhatIsThereWhenMemoryRunsOut) {
  const Pool pool = PoolOf(10);
  Reported reported;
  PoolGrowth growth(
      &pool, [&](uint32_t first, uint32_t count) { reported.Add(first, count); },
      [](const PagePlace& page) -> Status {
        if (page.offset == 7 * 4096) return Fail(Errc::kNoSpace, "no memory", ENOMEM);
        return {};
      });
  growth.Start();
  growth.Join();
  EXPECT_EQ(reported.pages, 7u);
  const auto progress = growth.progress();
  EXPECT_TRUE(progress.done);
  EXPECT_TRUE(progress.failed);
  EXPECT_EQ(progress.ready_bytes, 7u * 4096);
}

TEST(PoolGrowth, StopsAfterThePageThatItIsAt) {
  const Pool pool = PoolOf(100);
  std::binary_semaphore started(0);
  std::binary_semaphore go_on(0);
  PoolGrowth growth(
      &pool, [](uint32_t, uint32_t) {},
      [&](const PagePlace&) {
        started.release();
        go_on.acquire();
        return Status{};
      });
  growth.Start();
  started.acquire();
  growth.RequestStop();
  go_on.release();
  growth.Join();
  EXPECT_EQ(growth.progress().ready_bytes, 4096u);
}

TEST(PoolGrowth, IsDoneAtOnceWithoutAPool) {
  const Pool pool = PoolOf(0);
  PoolGrowth growth(
      &pool, [](uint32_t, uint32_t) { FAIL(); }, [](const PagePlace&) { return Status{}; });
  growth.Start();
  growth.Join();
  EXPECT_TRUE(growth.progress().done);
}

}  // namespace
}  // namespace headrace::server
