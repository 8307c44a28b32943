// Jobs that end early: cancelled, late, revoked by their owner, or robbed of their memory.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "transport/local/mover_rig.h"
#include "transport/mover.h"
#include "transport/mover_path.h"
#include "wire/copy.h"

namespace headrace::transport {

const char* const kMoverProgram = HEADRACE_MOVER_PATH;

namespace {

using wire::Direction;
using wire::Gate;

INSTANTIATE_TEST_SUITE_P(Forms, MoverTest, testing::ValuesIn(kForms), FormName);

// The client's end of a gate page.
class Gates {
 public:
  Gates() : page_(4096) { page_.Fill(0); }
  int fd() const { return page_.fd.get(); }
  std::atomic_ref<uint32_t> word(uint32_t index) {
    return std::atomic_ref<uint32_t>(reinterpret_cast<uint32_t*>(page_.view.data())[index]);
  }
  void Truncate() { ASSERT_EQ(::ftruncate(page_.fd.get(), 0), 0); }

 private:
  TestBuffer page_;
};

TEST_P(MoverTest, EndsARunningJobWhenItIsCancelled) {
  TestBuffer target(kLongBlocks * kLongBlock);
  StartLongLoad(&target, {.direction = Direction::kLoad});
  ASSERT_FALSE(HasFatalFailure());
  mover_->Cancel(1);
  const wire::CopyDone done = WaitOne();
  EXPECT_EQ(done.ticket, 1u);
  EXPECT_EQ(done.code, Errc::kCancelled);
  EXPECT_LT(done.bytes, uint64_t{kLongRing - 64} * kLongBlock);
  ExpectNoWrites(&target);
  EXPECT_EQ(mover_->stats().cancelled, 1u);
}

TEST_P(MoverTest, NeverStartsAJobThatWasCancelledWhileItWaited) {
  TestBuffer target(kLongBlocks * kLongBlock);
  StartLongLoad(&target, {.direction = Direction::kLoad});
  ASSERT_FALSE(HasFatalFailure());
  TestBuffer other(4096);
  other.Fill(0x44);
  ASSERT_TRUE(Add(2, other, PlainLayout(1, 4096)));
  // Too many for a turn before the cancels are seen, whatever the threads do.
  std::vector<wire::Ticket> tickets;
  for (wire::Ticket ticket = 2; ticket < 40; ++ticket) {
    ASSERT_TRUE(Submit({.ticket = ticket, .direction = Direction::kLoad, .buffer = 2}, {{}}));
    mover_->Cancel(ticket);
    tickets.push_back(ticket);
  }
  mover_->Cancel(12345);  // unknown
  for (const wire::CopyDone& done : Wait(tickets.size())) {
    EXPECT_NE(done.ticket, 1u);
    EXPECT_EQ(done.bytes, done.code == Errc::kOk ? 4096u : 0u);
    EXPECT_TRUE(done.code == Errc::kOk || done.code == Errc::kCancelled);
  }
  mover_->Cancel(1);
  EXPECT_EQ(WaitOne().code, Errc::kCancelled);
}

TEST_P(MoverTest, CancelsOnlyTheTicketThatIsNamed) {
  StartMover();
  const TestBuffer buffer(4096);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096)));
  ASSERT_TRUE(Submit({.ticket = 1}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  mover_->Cancel(1);  // answered already: its cancel word may serve another job now
  ASSERT_TRUE(Submit({.ticket = 2}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
}

TEST_P(MoverTest, EndsARunningJobAtItsDeadline) {
  TestBuffer target(kLongBlocks * kLongBlock);
  PrepareLongLoad(&target);
  const std::vector<wire::BlockCopy> blocks = LongBlocks();
  // A busy machine may not have let the mover begin: then later deadlines.
  wire::CopyDone done;
  for (Duration limit = milliseconds(100); done.bytes == 0; limit *= 2) {
    ASSERT_LT(limit, kPatience);
    const Time deadline = MonotonicNow() + limit;
    ASSERT_TRUE(Submit({.direction = Direction::kLoad, .deadline = deadline}, blocks));
    done = WaitOne();
    EXPECT_GE(MonotonicNow(), deadline);
    ASSERT_EQ(done.code, Errc::kTimeout);
  }
  EXPECT_LT(done.bytes, uint64_t{kLongRing - 64} * kLongBlock);
  ExpectNoWrites(&target);
}

TEST_P(MoverTest, NeverStartsAJobAfterItsDeadline) {
  StartMover();
  TestBuffer buffer(4096);
  buffer.Fill(0x55);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096)));
  ASSERT_TRUE(Submit({.direction = Direction::kLoad, .deadline = MonotonicNow()}, {{}}));
  const wire::CopyDone done = WaitOne();
  EXPECT_EQ(done.code, Errc::kTimeout);
  EXPECT_EQ(done.bytes, 0u);
  EXPECT_TRUE(buffer.AllAre(0x55));
}

TEST_P(MoverTest, WritesNothingUnderARevokedGate) {
  StartMover();
  Gates gates;
  TestBuffer buffer(4096);
  buffer.Fill(0x55);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096), gates.fd()));
  gates.word(3) = Gate::kRevoked;
  ASSERT_TRUE(Submit({.direction = Direction::kLoad, .gate = 3}, {{}}));
  const wire::CopyDone done = WaitOne();
  EXPECT_EQ(done.code, Errc::kCancelled);
  EXPECT_EQ(done.bytes, 0u);
  EXPECT_TRUE(buffer.AllAre(0x55));
  EXPECT_EQ(gates.word(3).load(), Gate::kRevoked) << "no writer is left inside";
  ASSERT_TRUE(Submit({.ticket = 2, .direction = Direction::kLoad, .gate = 2}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(gates.word(2).load(), 0u) << "other gates are open";
}

// What a client does that cannot wait for the server.
TEST_P(MoverTest, WritesNothingOnceTheOwnerSawNoWriterInside) {
  Gates gates;
  TestBuffer target(kLongBlocks * kLongBlock);
  StartLongLoad(&target, {.direction = Direction::kLoad, .gate = 5}, gates.fd());
  ASSERT_FALSE(HasFatalFailure());
  gates.word(5).fetch_or(Gate::kRevoked);
  const Time end = MonotonicNow() + kPatience;
  while ((gates.word(5).load() & Gate::kWriters) != 0) ASSERT_LT(MonotonicNow(), end);
  target.Fill(0x33);  // nobody polled the mover: the gate alone is the fence
  EXPECT_EQ(WaitOne().code, Errc::kCancelled);
  EXPECT_TRUE(target.AllAre(0x33));
  EXPECT_EQ(gates.word(5).load(), Gate::kRevoked);
}

TEST_P(MoverTest, CommitsASaveUnlessItIsRevoked) {
  StartMover();
  Gates gates;
  const TestBuffer buffer(4096);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096), gates.fd()));
  ASSERT_TRUE(Submit({.ticket = 1, .gate = 0}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(gates.word(0).load(), Gate::kCommitted);
  // The next slice of the same save, and then one after the owner took its blocks back.
  ASSERT_TRUE(Submit({.ticket = 2, .gate = 0}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  gates.word(0).fetch_or(Gate::kRevoked);
  ASSERT_TRUE(Submit({.ticket = 3, .gate = 0}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kCancelled);
  gates.word(1) = Gate::kRevoked;
  ASSERT_TRUE(Submit({.ticket = 4, .gate = 1}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kCancelled);
  EXPECT_EQ(gates.word(1).load(), Gate::kRevoked);
}

TEST_P(MoverTest, TrustsNothingThatAGateHolds) {
  StartMover();
  Gates gates;
  const TestBuffer buffer(4096);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096), gates.fd()));
  for (wire::Ticket ticket = 1; ticket <= 4; ++ticket) {
    gates.word(7) = Gate::kWriters | (ticket % 2 != 0 ? Gate::kCommitted : 0);
    const Direction direction = ticket <= 2 ? Direction::kSave : Direction::kLoad;
    ASSERT_TRUE(Submit({.ticket = ticket, .direction = direction, .gate = 7}, {{}}));
    EXPECT_EQ(WaitOne().code, Errc::kOk);
  }
}

TEST_P(MoverTest, SurvivesAClientThatTruncatesItsFile) {
  StartMover();
  TestBuffer bad(64 << 10);
  TestBuffer good(64 << 10);
  good.FillPattern(1);
  ASSERT_TRUE(Add(1, bad, PlainLayout(16, 4096)));
  ASSERT_TRUE(Add(2, good, PlainLayout(16, 4096)));
  ASSERT_TRUE(Submit({.ticket = 1, .buffer = 2}, {{}}));  // both are imported by now
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  ASSERT_EQ(::ftruncate(bad.fd.get(), 8192), 0);
  for (const Direction direction : {Direction::kSave, Direction::kLoad}) {
    ASSERT_TRUE(Submit({.ticket = 2, .direction = direction}, {{0, 0, 0}, {4096, 0, 9}}));
    EXPECT_EQ(WaitOne().code, Errc::kIo);
  }
  EXPECT_EQ(mover_->stats().faults, 2u);
  ASSERT_TRUE(Submit({.ticket = 3, .direction = Direction::kLoad}, {{0, 0, 1}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk) << "what is left of the file works";
  ASSERT_TRUE(Submit({.ticket = 4, .buffer = 2}, {{8192, 0, 3}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(std::memcmp(pool_.mapping.data() + 8192, good.view.data() + 3 * 4096, 4096), 0);
  EXPECT_EQ(mover_->stats().restarts, 0u);
}

TEST_P(MoverTest, LeavesTheGateWhenACopyFaults) {
  StartMover();
  Gates gates;
  const TestBuffer bad(64 << 10);
  ASSERT_TRUE(Add(1, bad, PlainLayout(16, 4096), gates.fd()));
  ASSERT_TRUE(Submit({.ticket = 1, .gate = 0}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  ASSERT_EQ(::ftruncate(bad.fd.get(), 4096), 0);
  ASSERT_TRUE(Submit({.ticket = 2, .direction = Direction::kLoad, .gate = 1}, {{0, 0, 9}}));
  EXPECT_EQ(WaitOne().code, Errc::kIo);
  EXPECT_EQ(gates.word(1).load(), 0u);
}

TEST_P(MoverTest, SurvivesAClientThatTruncatesItsGates) {
  StartMover();
  Gates gates;
  TestBuffer buffer(4096);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096), gates.fd()));
  ASSERT_TRUE(Submit({.ticket = 1}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  gates.Truncate();
  buffer.Fill(0x55);
  ASSERT_TRUE(Submit({.ticket = 2, .direction = Direction::kLoad, .gate = 1}, {{1u << 20}}));
  EXPECT_EQ(WaitOne().code, Errc::kIo);
  EXPECT_TRUE(buffer.AllAre(0x55));
  ASSERT_TRUE(Submit({.ticket = 3, .gate = 1}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kIo);
}

TEST_P(MoverTest, ReachesAProcessThatPassedNoDescriptor) {
  StartMover({.chunk_bytes = 64u << 10});
  constexpr uint32_t kLayers = 1500;  // more runs a block than one call takes
  constexpr uint64_t kSegment = 24;
  wire::Layout layout;
  layout.num_blocks = 3;
  layout.segment_bytes = kSegment;
  layout.block_stride = kSegment;
  for (uint32_t i = 0; i < kLayers; ++i) layout.layer_offsets.push_back(i * 3 * kSegment);
  TestChild child(kLayers * 3 * kSegment, 0);
  std::vector<uint8_t> lent = TestPattern(kLayers * 3 * kSegment, 1);
  child.Write(lent);
  BufferSource source;
  source.pid = child.pid();
  source.offset = child.address();
  source.bytes = lent.size();
  ASSERT_TRUE(mover_->AddBuffer(1, source, layout));

  ASSERT_TRUE(Submit({.ticket = 1}, {{64, 0, 1}}));
  EXPECT_EQ(WaitOne().bytes, kLayers * kSegment);
  ASSERT_TRUE(Submit({.ticket = 2, .direction = Direction::kLoad}, {{64, 0, 2}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  for (uint64_t layer = 0; layer < kLayers; ++layer) {
    uint8_t* row = lent.data() + layer * 3 * kSegment;
    ASSERT_EQ(std::memcmp(pool_.mapping.data() + 64 + layer * kSegment, row + kSegment, kSegment),
              0);
    std::memcpy(row + 2 * kSegment, row + kSegment, kSegment);
  }
  EXPECT_EQ(child.Read(), lent);
  EXPECT_EQ(mover_->stats().cma_bytes, 2 * kLayers * kSegment);
  EXPECT_EQ(mover_->stats().shm_bytes, 0u);

  child.End();
  ASSERT_TRUE(Submit({.ticket = 3, .direction = Direction::kLoad}, {{64, 0, 0}}));
  EXPECT_EQ(WaitOne().code, Errc::kIo);
  EXPECT_EQ(mover_->AddBuffer(2, source, layout).error().code, Errc::kNotFound);
}

TEST_P(MoverTest, KeepsGatesOfAProcessToo) {
  StartMover();
  Gates gates;
  const TestChild child(8192, 0x66);
  BufferSource source;
  source.pid = child.pid();
  source.offset = child.address();
  source.bytes = 8192;
  source.gate_fd = gates.fd();
  ASSERT_TRUE(mover_->AddBuffer(1, source, PlainLayout(2, 4096)));
  gates.word(0) = Gate::kRevoked;
  ASSERT_TRUE(Submit({.ticket = 1, .direction = Direction::kLoad, .gate = 0}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kCancelled);
  EXPECT_EQ(gates.word(0).load(), Gate::kRevoked);
  EXPECT_EQ(child.Read(), std::vector<uint8_t>(8192, 0x66));
  ASSERT_TRUE(Submit({.ticket = 2, .gate = 1}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(gates.word(1).load(), Gate::kCommitted);
  EXPECT_EQ(pool_.mapping.data()[0], 0x66);
}

}  // namespace
}  // namespace headrace::transport
