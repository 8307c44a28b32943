#include "server/pool.h"

#include <gtest/gtest.h>

namespace headrace::server {
namespace {

ServerOptions Options(uint64_t pool_bytes) {
  ServerOptions options;
  options.pool_bytes = pool_bytes;
  options.page_bytes = 1 << 20;
  options.region_bytes = 4 << 20;
  options.lock_memory = "off";
  options.huge = transport::HugePages::kOff;
  return options;
}

TEST(Pool, IsCutIntoRegionsAndPages) {
  std::string message;
  const auto pool = CreatePool(Options(10 << 20), 5, &message);
  ASSERT_TRUE(pool) << message;
  ASSERT_EQ(pool->regions.size(), 3u);
  EXPECT_EQ(pool->regions[2].mapping.size(), 2u << 20);
  ASSERT_EQ(pool->pages.size(), 10u);
  for (const PagePlace& page : pool->pages) {
    EXPECT_LE(page.offset + pool->page_bytes, pool->regions[page.region].mapping.size());
  }
  EXPECT_EQ(pool->meta.header().server_epoch, 5u);
  EXPECT_STREQ(pool->PagesKind(), "4k");
}

TEST(Pool, OfSizeZeroHasTablesOnly) {
  std::string message;
  const auto pool = CreatePool(Options(0), 5, &message);
  ASSERT_TRUE(pool) << message;
  EXPECT_TRUE(pool->regions.empty());
  EXPECT_TRUE(pool->pages.empty());
  EXPECT_FALSE(pool->lock);
  EXPECT_STREQ(pool->PagesKind(), "none");
}

TEST(Pool, LargerThanTheMachineIsRefusedWithWhatWouldFit) {
  std::string message;
  const auto pool = CreatePool(Options(900ull << 40), 5, &message);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().code, Errc::kNoSpace);
  EXPECT_EQ(message.find("--pool-size: 900 TiB is more than this machine can give now"), 0u)
      << message;
  EXPECT_NE(message.find("mb or less"), std::string::npos) << message;
}

TEST(Pool, SaysThatItIsNotLockedOrLocksIt) {
  ServerOptions options = Options(8 << 20);
  options.lock_memory = "auto";
  std::string message;
  const auto pool = CreatePool(options, 5, &message);
  ASSERT_TRUE(pool) << message;
  EXPECT_NE(pool->lock, !pool->warning.empty());
}

TEST(Pool, WithHugePagesThatAreNotThereIsRefused) {
  ServerOptions options = Options(8 << 20);
  options.huge = transport::HugePages::kRequire;
  std::string message;
  const auto pool = CreatePool(options, 5, &message);
  if (pool) {
    EXPECT_STRNE(pool->PagesKind(), "4k");
  } else {
    EXPECT_EQ(message.find("--huge-pages: "), 0u) << message;
  }
}

TEST(Pool, BacksItsPages) {
  std::string message;
  const auto pool = CreatePool(Options(2 << 20), 5, &message);
  ASSERT_TRUE(pool) << message;
  const transport::SharedRegion& region = pool->regions[0];
  EXPECT_TRUE(transport::Populate(region, 0, 2 << 20, false));
  region.mapping.data()[(2 << 20) - 1] = 7;
  EXPECT_EQ(region.mapping.data()[(2 << 20) - 1], 7);
}

}  // namespace
}  // namespace headrace::server
