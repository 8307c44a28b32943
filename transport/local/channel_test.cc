#include "transport/local/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace headrace::transport {
namespace {

Fd Dup(int fd) {
  return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

Result<Channel> Join(const Channel& channel) {
  return Channel::Attach(Dup(channel.memory_fd()), Dup(channel.wake_fd()), Dup(channel.done_fd()));
}

bool Readable(int fd) {
  struct pollfd item{fd, POLLIN, 0};
  return ::poll(&item, 1, 0) == 1;
}

TEST(Channel, CarriesJobsAndCompletionsBetweenItsEnds) {
  auto core = Channel::Create(100);
  ASSERT_TRUE(core);
  EXPECT_EQ(core->capacity(), 128u);
  auto mover = Join(*core);
  ASSERT_TRUE(mover);
  EXPECT_EQ(mover->capacity(), 128u);

  JobHead head;
  head.ticket = 77;
  ASSERT_TRUE(core->heads().TryPush(head));
  ASSERT_TRUE(core->blocks().TryPush({.slot_offset = 5, .region = 6, .block = 7}));
  core->cancel_word(3).store(1);
  JobHead seen;
  wire::BlockCopy block;
  ASSERT_TRUE(mover->heads().TryPop(&seen));
  ASSERT_TRUE(mover->blocks().TryPop(&block));
  EXPECT_EQ(seen.ticket, 77u);
  EXPECT_EQ(block.block, 7u);
  EXPECT_EQ(mover->cancel_word(3).load(), 1u);

  ASSERT_TRUE(mover->done().TryPush({.ticket = 77, .bytes = 9}));
  EXPECT_FALSE(Readable(core->done_fd()));
  mover->SignalDone();
  EXPECT_TRUE(Readable(core->done_fd()));
  core->ClearDone();
  EXPECT_FALSE(Readable(core->done_fd()));
  wire::CopyDone done;
  ASSERT_TRUE(core->done().TryPop(&done));
  EXPECT_EQ(done.bytes, 9u);
}

TEST(Channel, WakesOnlyThreadsThatSaidTheySleep) {
  auto channel = Channel::Create(16);
  ASSERT_TRUE(channel);
  channel->Wake(1);
  EXPECT_FALSE(Readable(channel->wake_fd()));
  channel->AnnounceSleep();
  channel->Wake(8);
  EXPECT_TRUE(Readable(channel->wake_fd()));
  channel->Sleep();  // returns at once
  EXPECT_FALSE(Readable(channel->wake_fd()));
  EXPECT_EQ(channel->header().sleepers.load(), 0u);
}

TEST(Channel, DoesNotSleepOverAJobThatCameMeanwhile) {
  auto channel = Channel::Create(16);
  ASSERT_TRUE(channel);
  ASSERT_TRUE(channel->heads().TryPush({}));
  channel->AnnounceSleep();
  channel->Sleep();
  EXPECT_EQ(channel->header().sleepers.load(), 0u);
}

TEST(Channel, IsEmptyAndKeepsItsStatisticsAfterReset) {
  auto channel = Channel::Create(16);
  ASSERT_TRUE(channel);
  ASSERT_TRUE(channel->heads().TryPush({}));
  ASSERT_TRUE(channel->done().TryPush({}));
  channel->SignalDone();
  channel->cancel_word(15).store(1);
  channel->header().stop.store(1);
  channel->header().stats.jobs.store(5);
  channel->Reset();
  EXPECT_TRUE(channel->heads().empty());
  EXPECT_TRUE(channel->done().empty());
  EXPECT_FALSE(Readable(channel->done_fd()));
  EXPECT_EQ(channel->cancel_word(15).load(), 0u);
  EXPECT_EQ(channel->header().stop.load(), 0u);
  EXPECT_EQ(channel->header().stats.jobs.load(), 5u);
}

TEST(Channel, RefusesMemoryThatHoldsNone) {
  auto other = CreateRegion("test-rings", 1u << 20, HugePages::kOff);
  ASSERT_TRUE(other);
  const auto attach = [&] {
    return Channel::Attach(Dup(other->fd.get()), Fd(::eventfd(0, 0)), Fd(::eventfd(0, 0)));
  };
  EXPECT_EQ(attach().error().code, Errc::kUnsupported) << "version 0";
  auto* header = reinterpret_cast<ChannelHeader*>(other->mapping.data());
  header->version = kChannelVersion;
  header->capacity = 1u << 20;
  EXPECT_EQ(attach().error().code, Errc::kCorrupt) << "larger than the memory";
  header->capacity = 16;
  EXPECT_EQ(attach().error().code, Errc::kCorrupt) << "no rings inside";
  auto tiny = CreateRegion("test-tiny", 4096, HugePages::kOff);
  ASSERT_TRUE(tiny);
  ASSERT_EQ(::ftruncate(tiny->fd.get(), 8), 0);
  EXPECT_FALSE(Channel::Attach(Dup(tiny->fd.get()), Fd(), Fd()));
  EXPECT_EQ(Channel::Create(1u << 30).error().code, Errc::kInvalid);
}

}  // namespace
}  // namespace headrace::transport
