#include "transport/local/cma.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "transport/local/test_child.h"

namespace headrace::transport {
namespace {

TEST(Cma, CopiesMoreRunsThanOneCallTakes) {
  constexpr size_t kRuns = 2 * kCmaMaxRuns + 5;
  constexpr uint64_t kBytes = 96;
  const TestChild child(kRuns * kBytes * 2, 0xcc);
  const std::vector<uint8_t> remote = TestPattern(kRuns * kBytes * 2, 1);
  child.Write(remote);
  auto pidfd = OpenPidFd(child.pid());
  ASSERT_TRUE(pidfd);

  std::vector<uint8_t> local(kRuns * kBytes);
  std::vector<CmaRun> runs;
  for (size_t i = 0; i < kRuns; ++i) {
    runs.push_back({&local[i * kBytes], child.address() + i * 2 * kBytes, kBytes});
  }
  ASSERT_TRUE(CmaCopy(child.pid(), pidfd->get(), CmaDirection::kRead, runs));
  for (size_t i = 0; i < kRuns; ++i) {
    ASSERT_TRUE(
        std::equal(&local[i * kBytes], &local[i * kBytes] + kBytes, &remote[i * 2 * kBytes]))
        << i;
  }

  const std::vector<uint8_t> fresh = TestPattern(kRuns * kBytes, 2);
  local = fresh;
  ASSERT_TRUE(CmaCopy(child.pid(), pidfd->get(), CmaDirection::kWrite, runs));
  std::vector<uint8_t> expected = remote;
  for (size_t i = 0; i < kRuns; ++i) {
    std::copy_n(&fresh[i * kBytes], kBytes, &expected[i * 2 * kBytes]);
  }
  EXPECT_EQ(child.Read(), expected) << "what lies between the runs stays";
}

TEST(Cma, FailsWhereTheProcessHasNoMemory) {
  const TestChild child(4096, 1);
  auto pidfd = OpenPidFd(child.pid());
  ASSERT_TRUE(pidfd);
  std::vector<uint8_t> local(4096);
  const std::vector<CmaRun> none{{local.data(), 4096, 4096}};
  EXPECT_EQ(CmaCopy(child.pid(), pidfd->get(), CmaDirection::kRead, none).error().code, Errc::kIo);

  // A run that starts in memory and leaves it: the kernel copies the first part and stops.
  void* pages = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  ASSERT_EQ(::mprotect(static_cast<uint8_t*>(pages) + 4096, 4096, PROT_NONE), 0);
  const TestChild second(4096, 1);  // a fork, so its pages are the same
  auto second_fd = OpenPidFd(second.pid());
  ASSERT_TRUE(second_fd);
  local.resize(8192);
  const std::vector<CmaRun> half{{local.data(), reinterpret_cast<uintptr_t>(pages), 8192}};
  EXPECT_EQ(CmaCopy(second.pid(), second_fd->get(), CmaDirection::kRead, half).error().code,
            Errc::kIo);
  ::munmap(pages, 8192);
}

TEST(Cma, FailsWhenTheProcessIsGone) {
  TestChild child(4096, 1);
  const pid_t pid = child.pid();
  auto pidfd = OpenPidFd(pid);
  ASSERT_TRUE(pidfd);
  std::vector<uint8_t> local(64);
  const std::vector<CmaRun> runs{{local.data(), child.address(), 64}};
  ASSERT_TRUE(CmaCopy(pid, pidfd->get(), CmaDirection::kRead, runs));
  child.End();
  EXPECT_EQ(CmaCopy(pid, pidfd->get(), CmaDirection::kRead, runs).error().code, Errc::kIo);
  EXPECT_EQ(OpenPidFd(pid).error().code, Errc::kNotFound);
}

// What would happen after the kernel gave a dead engine's pid to a stranger.
TEST(Cma, NeverTouchesAProcessThatItsDescriptorDoesNotName) {
  TestChild dead(4096, 1);
  auto pidfd = OpenPidFd(dead.pid());
  ASSERT_TRUE(pidfd);
  dead.End();
  const TestChild stranger(4096, 7);
  std::vector<uint8_t> local(64, 9);
  const std::vector<CmaRun> runs{{local.data(), stranger.address(), 64}};
  EXPECT_EQ(CmaCopy(stranger.pid(), pidfd->get(), CmaDirection::kWrite, runs).error().code,
            Errc::kIo);
  EXPECT_EQ(stranger.Read(), std::vector<uint8_t>(4096, 7));
}

}  // namespace
}  // namespace headrace::transport
