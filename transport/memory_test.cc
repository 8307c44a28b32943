#include "transport/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "transport/memory_budget.h"
#include "transport/shared_buffer.h"

namespace headrace::transport {
namespace {

Fd MemFile(uint64_t bytes) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  return fd;
}

TEST(Mapping, SharesBytesAtAnOffsetThatIsNoPage) {
  const Fd fd = MemFile(3 * 4096);
  auto mapping = Mapping::Map(fd.get(), 4196, 5000);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->size(), 5000u);
  mapping->data()[0] = 7;
  mapping->data()[4999] = 9;
  uint8_t byte = 0;
  ASSERT_EQ(::pread(fd.get(), &byte, 1, 4196), 1);
  EXPECT_EQ(byte, 7);
  ASSERT_EQ(::pread(fd.get(), &byte, 1, 4196 + 4999), 1);
  EXPECT_EQ(byte, 9);
}

TEST(Mapping, RefusesAFileThatIsTooShort) {
  const Fd fd = MemFile(4096);
  EXPECT_TRUE(Mapping::Map(fd.get(), 0, 4096));
  EXPECT_EQ(Mapping::Map(fd.get(), 1, 4096).error().code, Errc::kInvalid);
  EXPECT_EQ(Mapping::Map(fd.get(), 0, 0).error().code, Errc::kInvalid);
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Mapping::Map(fd.get(), huge - 1, 4096).error().code, Errc::kInvalid);
  EXPECT_EQ(Mapping::Map(fd.get(), 4096, huge - 4000).error().code, Errc::kInvalid);
}

TEST(Mapping, RefusesDescriptorsThatAreNoMemory) {
  EXPECT_EQ(Mapping::Map(-1, 0, 4096).error().code, Errc::kInvalid);
  int pipes[2];
  ASSERT_EQ(::pipe2(pipes, O_CLOEXEC), 0);
  const Fd reader(pipes[0]);
  const Fd writer(pipes[1]);
  EXPECT_EQ(Mapping::Map(reader.get(), 0, 4096).error().code, Errc::kInvalid);
  const Fd program(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(Mapping::Map(program.get(), 0, 4096).error().code, Errc::kInvalid);
}

TEST(Mapping, LiesAsHugePagesNeedIt) {
  const Fd fd = MemFile(8u << 20);
  const uint64_t offset = (1u << 20) + 4096;
  auto mapping = Mapping::Map(fd.get(), offset, 5u << 20);
  ASSERT_TRUE(mapping);
  EXPECT_EQ((reinterpret_cast<uintptr_t>(mapping->data()) - offset) % (2u << 20), 0u);
}

TEST(Mapping, MovesAndUnmapsOnce) {
  const Fd fd = MemFile(8192);
  auto first = Mapping::Map(fd.get(), 0, 8192);
  auto second = Mapping::Map(fd.get(), 0, 4096);
  ASSERT_TRUE(first && second);
  uint8_t* const data = first->data();
  *second = std::move(*first);
  EXPECT_EQ(second->data(), data);
  EXPECT_EQ(first->data(), nullptr);
  Mapping third(std::move(*second));
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.size(), 8192u);
  third.data()[8191] = 1;
}

TEST(Region, IsBackedByTheFileAndNamed) {
  auto region = CreateRegion("test-pool", 1u << 20, HugePages::kOff);
  ASSERT_TRUE(region);
  EXPECT_EQ(region->pages, PageKind::k4K);
  EXPECT_EQ(region->mapping.size(), 1u << 20);
  const std::string link = "/proc/self/fd/" + std::to_string(region->fd.get());
  EXPECT_NE(std::filesystem::read_symlink(link).string().find("headrace-test-pool"),
            std::string::npos);
  EXPECT_TRUE(::fcntl(region->fd.get(), F_GETFD) & FD_CLOEXEC);
}

TEST(Region, SaysWhichPagesItGot) {
  auto region = CreateRegion("test-auto", 4u << 20, HugePages::kAuto);
  ASSERT_TRUE(region);
  const bool huge = FreeHugetlbBytes() >= (4u << 20);
  EXPECT_TRUE(huge || region->pages != PageKind::kHugetlb) << PageKindName(region->pages);
  auto required = CreateRegion("test-huge", 4u << 20, HugePages::kRequire);
  if (required) {
    EXPECT_NE(required->pages, PageKind::k4K);
  } else {
    EXPECT_EQ(required.error().code, Errc::kNoSpace);
    EXPECT_EQ(region->pages, PageKind::k4K);
  }
}

TEST(Region, RefusesSizesThatCannotBe) {
  EXPECT_EQ(CreateRegion("none", 0, HugePages::kAuto).error().code, Errc::kInvalid);
  EXPECT_EQ(CreateRegion("vast", uint64_t{1} << 60, HugePages::kAuto).error().code, Errc::kInvalid);
}

uint64_t PagesBacked(const SharedRegion& region) {
  std::vector<unsigned char> present(region.mapping.size() / 4096);
  EXPECT_EQ(::mincore(region.mapping.data(), region.mapping.size(), present.data()), 0);
  uint64_t count = 0;
  for (unsigned char page : present) count += page & 1;
  return count;
}

TEST(Populate, BacksWhatItIsAskedForAndNoMore) {
  auto region = CreateRegion("test-populate", 1u << 20, HugePages::kOff);
  ASSERT_TRUE(region);
  EXPECT_EQ(PagesBacked(*region), 0u);
  ASSERT_TRUE(Populate(*region, 4096, 8 * 4096, false));
  EXPECT_EQ(PagesBacked(*region), 8u);
  region->mapping.data()[5000] = 42;
  ASSERT_TRUE(Populate(*region, 0, 1u << 20, false));
  EXPECT_EQ(PagesBacked(*region), 256u);
  EXPECT_EQ(region->mapping.data()[5000], 42) << "what was there stays";
}

TEST(Populate, LocksSmallRegions) {
  auto region = CreateRegion("test-lock", 64u << 10, HugePages::kOff);
  ASSERT_TRUE(region);
  EXPECT_TRUE(Populate(*region, 0, 64u << 10, true));
}

TEST(MemoryBudget, NamesItsLimit) {
  const MemoryBudget budget = AvailableMemory(false);
  EXPECT_GT(budget.bytes, 1u << 20);
  EXPECT_LT(budget.bytes, uint64_t{1} << 47);
  EXPECT_TRUE(budget.limit == "MemAvailable" || budget.limit == "cgroup memory limit")
      << budget.limit;
  EXPECT_LE(AvailableMemory(true).bytes, budget.bytes + (256u << 20));
}

TEST(MemoryBudget, ReadsFieldsOfProc) {
  const std::string text = "MemTotal:       100 kB\nMemAvailable:    42 kB\nHugePages_Free: 3\n";
  EXPECT_EQ(FieldBytes(text, "MemAvailable"), 42u * 1024);
  EXPECT_EQ(FieldBytes(text, "HugePages_Free"), 3u);
  EXPECT_EQ(FieldBytes(text, "Mem"), std::nullopt);
  EXPECT_EQ(FieldBytes("MemAvailable: x kB", "MemAvailable"), std::nullopt);
}

TEST(MemoryBudget, LeavesIdlePageCacheOutOfAGroupsUsage) {
  EXPECT_EQ(CgroupRoom("max\n", "5\n", ""), std::nullopt);
  EXPECT_EQ(CgroupRoom("9223372036854771712\n", "5\n", ""), std::nullopt);
  EXPECT_EQ(CgroupRoom("1000\n", "300\n", ""), 700u);
  EXPECT_EQ(CgroupRoom("1000\n", "300\n", "anon 5\ninactive_file 100\n"), 800u);
  EXPECT_EQ(CgroupRoom("1000\n", "300\n", "inactive_file 1\ntotal_inactive_file 100\n"), 800u);
  EXPECT_EQ(CgroupRoom("1000\n", "2000\n", "inactive_file 100\n"), 0u);
}

class CgroupTree : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/headrace-cgroup-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::filesystem::path root_;
};

TEST_F(CgroupTree, TakesTheTightestOfAGroupAndItsParents) {
  Write("a/b/memory.max", "max\n");
  Write("a/b/memory.current", "10\n");
  Write("a/memory.max", "1000\n");
  Write("a/memory.current", "400\n");
  EXPECT_EQ(CgroupRoomOf(root_.string(), "0::/a/b\n"), 600u);
  EXPECT_EQ(CgroupRoomOf(root_.string(), "0::/\n"), std::nullopt);
}

TEST_F(CgroupTree, ReadsTheOldHierarchyToo) {
  Write("memory/x/memory.limit_in_bytes", "5000\n");
  Write("memory/x/memory.usage_in_bytes", "1000\n");
  const std::string self = "7:cpu,cpuacct:/x\n4:memory:/x\n0::/x\n";
  EXPECT_EQ(CgroupRoomOf(root_.string(), self), 4000u);
}

TEST_F(CgroupTree, FindsTheLimitAtTheRootOfAContainersView) {
  Write("memory.max", "3000\n");
  Write("memory.current", "1000\n");
  EXPECT_EQ(CgroupRoomOf(root_.string(), "0::/not/seen/here\n"), 2000u);
}

TEST(SharedBuffer, CannotChangeItsSize) {
  auto fd = CreateSharedBuffer("test-kv", 8192);
  ASSERT_TRUE(fd);
  EXPECT_TRUE(CannotShrink(fd->get()));
  EXPECT_NE(::ftruncate(fd->get(), 4096), 0);
  EXPECT_NE(::ftruncate(fd->get(), 16384), 0);
  EXPECT_TRUE(Mapping::Map(fd->get(), 0, 8192));
  EXPECT_FALSE(CannotShrink(MemFile(4096).get()));
  EXPECT_EQ(CreateSharedBuffer("none", 0).error().code, Errc::kInvalid);
}

}  // namespace
}  // namespace headrace::transport
