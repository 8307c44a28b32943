// For tests: a mover of either form with a small pool, engine buffers in memfds, and bounded waits.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/local/test_child.h"
#include "transport/memory.h"
#include "transport/mover.h"

namespace headrace::transport {

// The program under test; each test file states it from the build's mover_path.h.
extern const char* const kMoverProgram;

struct Form {
  const char* name;
  bool process;
  uint32_t threads;
};
inline constexpr Form kForms[] = {
    {"Threads1", false, 1}, {"Threads3", false, 3}, {"Process1", true, 1}, {"Process2", true, 2}};

inline std::string FormName(const testing::TestParamInfo<Form>& info) {
  return info.param.name;
}

// A file of memory with a view of its own, as an engine has one.
struct TestBuffer {
  Fd fd;
  Mapping view;
  explicit TestBuffer(uint64_t bytes) : fd(::memfd_create("engine", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    auto mapped = Mapping::Map(fd.get(), 0, bytes);
    EXPECT_TRUE(mapped);
    if (mapped) view = std::move(*mapped);
  }
  void Fill(uint8_t value) { std::memset(view.data(), value, view.size()); }
  void FillPattern(uint32_t seed) {
    const std::vector<uint8_t> pattern = TestPattern(view.size(), seed);
    std::memcpy(view.data(), pattern.data(), pattern.size());
  }
  std::vector<uint8_t> Copy() const { return {view.data(), view.data() + view.size()}; }
  bool AllAre(uint8_t value) const {
    return std::all_of(view.data(), view.data() + view.size(),
                       [value](uint8_t byte) { return byte == value; });
  }
};

// One layer, one part: block b lies at b * bytes.
inline wire::Layout PlainLayout(uint64_t blocks, uint64_t bytes) {
  wire::Layout layout;
  layout.num_blocks = blocks;
  layout.segment_bytes = bytes;
  layout.block_stride = bytes;
  layout.layer_offsets = {0};
  return layout;
}

class MoverTest : public testing::TestWithParam<Form> {
 protected:
  static constexpr uint64_t kPoolBytes = 4u << 20;
  static constexpr Duration kPatience = seconds(60);  // sanitizers on a busy machine

  void StartMover(MoverOptions options = {}) {
    options.threads = GetParam().threads;
    if (GetParam().process) options.program = kMoverProgram;
    auto mover = CreateMover(options);
    ASSERT_TRUE(mover) << mover.error().what;
    mover_ = std::move(*mover);
    auto pool = CreateRegion("test-pool", kPoolBytes, HugePages::kOff);
    ASSERT_TRUE(pool);
    pool_ = std::move(*pool);
    ASSERT_TRUE(mover_->AddRegion(pool_));
  }

  Status Add(wire::BufferId id, const TestBuffer& buffer, const wire::Layout& layout,
             int gate_fd = -1) {
    BufferSource source;
    source.fd = buffer.fd.get();
    source.bytes = buffer.view.size();
    source.gate_fd = gate_fd;
    return mover_->AddBuffer(id, source, layout);
  }

  // A job of `blocks` of buffer 1 unless it says otherwise.
  struct Spec {
    wire::Ticket ticket = 1;
    wire::Direction direction = wire::Direction::kSave;
    wire::BufferId buffer = 1;
    uint32_t gate = wire::kNoGate;
    Time deadline{};
  };
  Status Submit(const Spec& spec, const std::vector<wire::BlockCopy>& blocks) {
    return mover_->Submit({.ticket = spec.ticket,
                           .direction = spec.direction,
                           .buffer = spec.buffer,
                           .gate = spec.gate,
                           .deadline = spec.deadline,
                           .blocks = blocks});
  }

  // Polls until `count` completions came; fewer only when patience ends.
  std::vector<wire::CopyDone> Wait(size_t count) {
    std::vector<wire::CopyDone> done;
    WaitUntil([&] {
      mover_->Poll(&done);
      return done.size() >= count;
    });
    EXPECT_EQ(done.size(), count);
    return done;
  }
  wire::CopyDone WaitOne() {
    const std::vector<wire::CopyDone> done = Wait(1);
    return done.empty() ? wire::CopyDone{.code = Errc::kInternal} : done[0];
  }

  // Looks at `ready` whenever the mover has news, and now and then.
  void WaitUntil(const std::function<bool()>& ready) {
    const Time end = MonotonicNow() + kPatience;
    while (!ready()) {
      ASSERT_LT(MonotonicNow(), end) << "waited too long";
      struct pollfd item{mover_->event_fd(), POLLIN, 0};
      ::poll(&item, 1, 1);
    }
  }

  // A load that goes on for seconds: the same few blocks again and again.
  static constexpr uint32_t kLongRing = 65536;
  static constexpr uint64_t kLongBlock = 1u << 20;
  static constexpr uint32_t kLongBlocks = 4;
  static std::vector<wire::BlockCopy> LongBlocks() {
    std::vector<wire::BlockCopy> blocks(kLongRing - 64);
    for (uint32_t i = 0; i < blocks.size(); ++i) {
      const uint32_t block = i % kLongBlocks;
      blocks[i] = {.slot_offset = block * kLongBlock, .region = 0, .block = block};
    }
    return blocks;
  }
  void PrepareLongLoad(TestBuffer* target, int gate_fd = -1) {
    StartMover({.ring_blocks = kLongRing});
    std::memset(pool_.mapping.data(), 0x11, kPoolBytes);
    target->Fill(0x22);
    ASSERT_TRUE(Add(1, *target, PlainLayout(kLongBlocks, kLongBlock), gate_fd));
  }
  // Starts it as ticket 1 into buffer 1 and returns when it has begun to write.
  void StartLongLoad(TestBuffer* target, const Spec& spec, int gate_fd = -1) {
    PrepareLongLoad(target, gate_fd);
    ASSERT_TRUE(Submit(spec, LongBlocks()));
    const volatile uint8_t* first = target->view.data();
    WaitUntil([first] { return *first == 0x11; });
  }
  // Proof that a completed job writes no more: the target is painted, the mover is given time and
  // work, and the paint must be whole.
  void ExpectNoWrites(TestBuffer* target) {
    target->Fill(0x33);
    const TestBuffer other(64 << 10);
    ASSERT_TRUE(Add(900, other, PlainLayout(1, 64 << 10)));
    for (wire::Ticket ticket = 900; ticket < 930; ++ticket) {
      const std::vector<wire::BlockCopy> blocks{{.slot_offset = 2u << 20}};
      ASSERT_TRUE(Submit({.ticket = ticket, .buffer = 900}, blocks));
      EXPECT_EQ(WaitOne().code, Errc::kOk);
    }
    EXPECT_TRUE(target->AllAre(0x33));
  }

  SharedRegion pool_;
  std::unique_ptr<Mover> mover_;
};

}  // namespace headrace::transport
