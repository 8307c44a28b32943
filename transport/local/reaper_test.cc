#include "transport/local/reaper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "transport/local/mover_rig.h"
#include "transport/shared_buffer.h"

namespace headrace::transport {
namespace {

constexpr uint64_t kBytes = 64u << 20;

// A buffer of touched memory that keeps `session` open.
std::unique_ptr<Buffer> TouchedBuffer(Fd session) {
  auto file = CreateSharedBuffer("reaper-test", kBytes);
  HR_CHECK(file.has_value());
  BufferSource source;
  source.fd = file->get();
  source.bytes = kBytes;
  auto import = MakeImport(1, source, PlainLayout(1, kBytes));
  HR_CHECK(import.has_value());
  import->session = std::move(session);
  auto buffer = Buffer::Open(std::move(*import));
  HR_CHECK(buffer.has_value());
  auto region = CreateRegion("reaper-pool", kBytes, HugePages::kOff);
  HR_CHECK(region.has_value());
  auto pool = TouchedMapping::Borrow(region->mapping);
  const Run run{0, pool.get(), 0, kBytes};
  HR_CHECK((*buffer)->CopyChunk(wire::Direction::kLoad, nullptr, {&run, 1}, nullptr) == Errc::kOk);
  return std::move(*buffer);
}

Duration CpuTime() {
  timespec used{};
  HR_CHECK(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
  return seconds(used.tv_sec) + Duration(used.tv_nsec);
}

struct Pipe {
  Pipe() {
    int ends[2];
    HR_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
  // Waits for the end of what the write end was given to.
  bool Ended() {
    char byte;
    return ::read(read.get(), &byte, 1) == 0;
  }
  Fd read, write;
};

TEST(Reaper, TakesABufferApartWithoutTheTimeOfWhoDroppedIt) {
  auto alone = TouchedBuffer(Fd());
  Duration start = CpuTime();
  alone.reset();
  const Duration by_hand = CpuTime() - start;

  Pipe pipe;
  Reaper reaper;
  auto shared = reaper.Adopt(TouchedBuffer(std::move(pipe.write)));
  start = CpuTime();
  shared.reset();
  const Duration handed_over = CpuTime() - start;
  EXPECT_LT(handed_over * 5, by_hand);
  EXPECT_TRUE(pipe.Ended());  // soon, and not only when the reaper ends
}

TEST(Reaper, KeepsABufferWhileSomebodyHoldsIt) {
  Pipe pipe;
  ASSERT_EQ(::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK), 0);
  Reaper reaper;
  auto one = reaper.Adopt(TouchedBuffer(std::move(pipe.write)));
  auto two = one;
  one.reset();
  EXPECT_FALSE(pipe.Ended());
  EXPECT_EQ(two->num_blocks(), 1U);
}

TEST(Reaper, LeavesNothingBehindWhenItEnds) {
  Pipe pipe;
  ASSERT_EQ(::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK), 0);
  {
    Reaper reaper;
    reaper.Adopt(TouchedBuffer(std::move(pipe.write))).reset();
  }
  EXPECT_TRUE(pipe.Ended());
}

}  // namespace
}  // namespace headrace::transport
