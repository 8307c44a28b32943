#include "transport/mover.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "transport/local/mover_rig.h"
#include "transport/mover_path.h"
#include "wire/layout.h"

namespace headrace::transport {

const char* const kMoverProgram = HEADRACE_MOVER_PATH;

namespace {

INSTANTIATE_TEST_SUITE_P(Forms, MoverTest, testing::ValuesIn(kForms), FormName);

struct NamedLayout {
  const char* name;
  wire::Layout layout;
  uint64_t bytes;
};

constexpr uint64_t kBlocks = 12;

wire::Layout Affine(uint32_t layers, uint32_t parts, uint64_t segment, uint64_t block_stride) {
  wire::Layout layout;
  layout.num_blocks = kBlocks;
  layout.segment_bytes = segment;
  layout.block_stride = block_stride;
  layout.parts = parts;
  layout.layer_offsets.resize(layers);
  return layout;
}

std::vector<NamedLayout> AllLayouts() {
  std::vector<NamedLayout> all;
  // [layer][part][block]: K of all blocks, then V of all blocks.
  wire::Layout k_first = Affine(5, 2, 1536, 1536);
  k_first.part_stride = kBlocks * 1536;
  for (uint64_t i = 0; i < 5; ++i) k_first.layer_offsets[i] = i * 2 * kBlocks * 1536;
  all.push_back({"k-first", k_first, 5 * 2 * kBlocks * 1536});
  // [layer][block][part]
  wire::Layout blocks_first = Affine(4, 2, 1000, 2000);
  blocks_first.part_stride = 1000;
  for (uint64_t i = 0; i < 4; ++i) blocks_first.layer_offsets[i] = i * kBlocks * 2000;
  all.push_back({"blocks-first", blocks_first, 4 * kBlocks * 2000});
  // [layer][block], K and V in one; layers not in order of address.
  wire::Layout packed = Affine(3, 1, 4096, 4096);
  packed.layer_offsets = {2 * kBlocks * 4096, 0, kBlocks * 4096};
  all.push_back({"packed", packed, 3 * kBlocks * 4096});
  // MLA: one odd-sized segment a layer, padded blocks.
  wire::Layout mla = Affine(7, 1, 577, 640);
  for (uint64_t i = 0; i < 7; ++i) mla.layer_offsets[i] = i * kBlocks * 640 + 3;
  all.push_back({"mla", mla, 7 * kBlocks * 640 + 3});
  // [block][layer]: layers adjoin, a block is one run.
  wire::Layout cross = Affine(6, 1, 512, 6 * 512);
  for (uint64_t i = 0; i < 6; ++i) cross.layer_offsets[i] = i * 512;
  all.push_back({"cross-layer", cross, kBlocks * 6 * 512});
  // Blocks larger than a chunk.
  wire::Layout large = Affine(2, 1, 70000, 140000);
  large.layer_offsets = {0, 70000};
  all.push_back({"larger than a chunk", large, kBlocks * 140000});
  return all;
}

// The formula, byte by byte, with nothing of the code under test but the layout's own words.
void CopyByFormula(const wire::Layout& layout, const wire::BlockCopy& block, uint8_t* buffer,
                   uint8_t* pool, bool save) {
  for (uint32_t layer = 0; layer < layout.num_layers(); ++layer) {
    for (uint32_t part = 0; part < layout.parts; ++part) {
      uint8_t* lent = buffer + layout.SegmentOffset(layer, block.block, part);
      uint8_t* slot = pool + block.slot_offset + layout.SlotOffset(layer, part);
      std::memcpy(save ? slot : lent, save ? lent : slot, layout.segment_bytes);
    }
  }
}

TEST_P(MoverTest, SavesAndLoadsEveryLayoutAndTouchesNothingElse) {
  StartMover({.chunk_bytes = 32u << 10});
  wire::BufferId id = 0;
  for (const NamedLayout& named : AllLayouts()) {
    SCOPED_TRACE(named.name);
    TestBuffer buffer(named.bytes);
    ASSERT_TRUE(wire::ValidateLayout(named.layout, named.bytes));
    buffer.FillPattern(++id);
    ASSERT_TRUE(Add(id, buffer, named.layout));
    std::memset(pool_.mapping.data(), 0xee, kPoolBytes);
    std::vector<uint8_t> pool(kPoolBytes, 0xee);
    std::vector<uint8_t> lent = buffer.Copy();
    const uint64_t slot = named.layout.slot_bytes();

    const std::vector<wire::BlockCopy> saves{
        {5 * slot, 0, 3}, {0, 0, 0}, {2 * slot + 64, 0, 11}, {7 * slot, 0, 4}};
    ASSERT_TRUE(Submit({.ticket = 10, .buffer = id}, saves));
    const wire::CopyDone saved = WaitOne();
    EXPECT_EQ(saved.code, Errc::kOk);
    EXPECT_EQ(saved.bytes, 4 * slot);
    for (const auto& block : saves)
      CopyByFormula(named.layout, block, lent.data(), pool.data(), true);
    EXPECT_EQ(std::memcmp(pool.data(), pool_.mapping.data(), kPoolBytes), 0);
    EXPECT_EQ(lent, buffer.Copy()) << "a save only reads the engine's buffer";

    const std::vector<wire::BlockCopy> loads{{5 * slot, 0, 7}, {0, 0, 6}, {7 * slot, 0, 1}};
    ASSERT_TRUE(Submit({.ticket = 11, .direction = wire::Direction::kLoad, .buffer = id}, loads));
    EXPECT_EQ(WaitOne().code, Errc::kOk);
    for (const auto& block : loads) {
      CopyByFormula(named.layout, block, lent.data(), pool.data(), false);
    }
    EXPECT_EQ(lent, buffer.Copy());
    EXPECT_EQ(std::memcmp(pool.data(), pool_.mapping.data(), kPoolBytes), 0);
    mover_->DropBuffer(id);
  }
  EXPECT_EQ(mover_->stats().faults, 0u);
  EXPECT_GT(mover_->stats().save_bytes, 0u);
  EXPECT_EQ(mover_->stats().shm_bytes, mover_->stats().save_bytes + mover_->stats().load_bytes);
}

TEST_P(MoverTest, FindsABufferInsideItsFile) {
  StartMover();
  TestBuffer file(64 << 10);
  file.FillPattern(3);
  BufferSource source;
  source.fd = file.fd.get();
  source.offset = 5000;
  source.bytes = 4 * 1024;
  ASSERT_TRUE(mover_->AddBuffer(1, source, PlainLayout(4, 1024)));
  ASSERT_TRUE(Submit({}, {{0, 0, 2}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(std::memcmp(pool_.mapping.data(), file.view.data() + 5000 + 2048, 1024), 0);
}

TEST_P(MoverTest, UsesEveryRegion) {
  StartMover();
  auto second = CreateRegion("test-second", 1u << 20, HugePages::kOff);
  ASSERT_TRUE(second);
  ASSERT_TRUE(mover_->AddRegion(*second));
  TestBuffer buffer(8 * 4096);
  buffer.FillPattern(4);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(8, 4096)));
  ASSERT_TRUE(Submit({}, {{0, 0, 0}, {4096, 1, 1}, {8192, 0, 2}, {(1u << 20) - 4096, 1, 3}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  const uint8_t* lent = buffer.view.data();
  EXPECT_EQ(std::memcmp(pool_.mapping.data(), lent, 4096), 0);
  EXPECT_EQ(std::memcmp(second->mapping.data() + 4096, lent + 4096, 4096), 0);
  EXPECT_EQ(std::memcmp(pool_.mapping.data() + 8192, lent + 8192, 4096), 0);
  EXPECT_EQ(std::memcmp(second->mapping.data() + (1u << 20) - 4096, lent + 12288, 4096), 0);
}

TEST_P(MoverTest, TakesAJobAsLargeAsTheRingAndRefusesALargerOne) {
  StartMover({.ring_blocks = 64});
  TestBuffer buffer(64 * 4096);
  buffer.FillPattern(5);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(64, 4096)));
  std::vector<wire::BlockCopy> blocks;
  for (uint32_t i = 0; i < 64; ++i) blocks.push_back({(63 - i) * 4096, 0, i});
  for (wire::Ticket ticket = 1; ticket <= 3; ++ticket) {  // the ring wraps in the middle of one
    std::memset(pool_.mapping.data(), 0, 64 * 4096);
    ASSERT_TRUE(Submit({.ticket = ticket * 2}, {{1u << 20, 0, 0}}));
    EXPECT_EQ(Submit({.ticket = 99}, blocks).error().code, Errc::kLimit);
    EXPECT_EQ(WaitOne().ticket, ticket * 2);
    ASSERT_TRUE(Submit({.ticket = ticket * 2 + 1}, blocks));
    EXPECT_EQ(WaitOne().bytes, 64u * 4096);
    for (uint32_t i = 0; i < 64; ++i) {
      ASSERT_EQ(
          std::memcmp(pool_.mapping.data() + (63 - i) * 4096, buffer.view.data() + i * 4096, 4096),
          0);
    }
  }
  blocks.push_back({0, 0, 0});
  EXPECT_EQ(Submit({.ticket = 100}, blocks).error().code, Errc::kInvalid);
}

TEST_P(MoverTest, IsFullUntilCompletionsAreTaken) {
  StartMover({.ring_blocks = 16});
  const TestBuffer buffer(4096);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096)));
  for (wire::Ticket ticket = 0; ticket < 16; ++ticket) {
    ASSERT_TRUE(Submit({.ticket = ticket}, {{0, 0, 0}}));
  }
  EXPECT_EQ(Submit({.ticket = 16}, {{0, 0, 0}}).error().code, Errc::kLimit);
  EXPECT_EQ(Wait(16).size(), 16u);
  EXPECT_TRUE(Submit({.ticket = 16}, {{0, 0, 0}}));
  EXPECT_EQ(WaitOne().ticket, 16u);
}

TEST_P(MoverTest, AnswersEveryOfManyTicketsOnce) {
  StartMover({.ring_blocks = 256, .chunk_bytes = 4096});
  constexpr uint32_t kJobs = 3000;
  constexpr uint64_t kBytes = 2048;
  TestBuffer source(256 * kBytes);
  TestBuffer target(256 * kBytes);
  source.FillPattern(6);
  ASSERT_TRUE(Add(1, source, PlainLayout(256, kBytes)));
  ASSERT_TRUE(Add(2, target, PlainLayout(256, kBytes)));
  std::map<wire::Ticket, int> answers;
  std::vector<wire::CopyDone> done;
  for (wire::Ticket ticket = 0; ticket < kJobs;) {
    std::vector<wire::BlockCopy> blocks;
    for (uint32_t i = 0; i < ticket % 5; ++i) {  // also jobs without blocks
      const auto block = static_cast<uint32_t>((ticket * 5 + i) % 256);
      blocks.push_back({block * kBytes, 0, block});
    }
    const Status status = Submit({.ticket = ticket}, blocks);
    if (status) {
      ++ticket;
      continue;
    }
    ASSERT_EQ(status.error().code, Errc::kLimit);
    WaitUntil([&] { return mover_->Poll(&done) > 0; });
  }
  WaitUntil([&] {
    mover_->Poll(&done);
    return done.size() >= kJobs;
  });
  for (const wire::CopyDone& one : done) {
    ++answers[one.ticket];
    ASSERT_EQ(one.code, Errc::kOk);
    ASSERT_EQ(one.bytes, one.ticket % 5 * kBytes);
  }
  EXPECT_EQ(answers.size(), kJobs);
  EXPECT_EQ(done.size(), kJobs);
  EXPECT_EQ(mover_->stats().jobs, kJobs);

  std::vector<wire::BlockCopy> all;
  for (uint32_t i = 0; i < 256; ++i) all.push_back({i * kBytes, 0, i});
  ASSERT_TRUE(Submit({.ticket = kJobs, .direction = wire::Direction::kLoad, .buffer = 2}, all));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(target.Copy(), source.Copy());
}

TEST_P(MoverTest, LetsASmallJobOvertakeAHugeOne) {
  TestBuffer target(kLongBlocks * kLongBlock);
  StartLongLoad(&target, {.direction = wire::Direction::kLoad});
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_TRUE(Submit({.ticket = 2}, {{3u << 20, 0, 0}}));
  ASSERT_TRUE(Submit({.ticket = 3, .direction = wire::Direction::kLoad}, {{0, 0, 3}}));
  std::set<wire::Ticket> first;
  for (const wire::CopyDone& done : Wait(2)) first.insert(done.ticket);
  EXPECT_EQ(first, (std::set<wire::Ticket>{2, 3}));
  mover_->Cancel(1);
  EXPECT_EQ(WaitOne().ticket, 1u);
}

TEST_P(MoverTest, RefusesWhatAClientGotWrong) {
  StartMover();
  const TestBuffer buffer(8 * 4096);
  const TestBuffer gates(4096);
  EXPECT_EQ(Submit({}, {{0, 0, 0}}).error().code, Errc::kNotFound);
  EXPECT_EQ(Add(1, buffer, PlainLayout(9, 4096)).error().code, Errc::kInvalid);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(8, 4096), gates.fd.get()));
  EXPECT_EQ(Add(1, buffer, PlainLayout(8, 4096)).error().code, Errc::kExists);
  EXPECT_EQ(Submit({}, {{0, 0, 8}}).error().code, Errc::kInvalid);
  EXPECT_EQ(Submit({.gate = 1024}, {{0, 0, 0}}).error().code, Errc::kInvalid);

  BufferSource source;
  source.fd = buffer.fd.get();
  source.bytes = 8 * 4096;
  source.offset = 4096;
  EXPECT_EQ(mover_->AddBuffer(2, source, PlainLayout(8, 4096)).error().code, Errc::kInvalid)
      << "the file is too short";
  source.offset = 0;
  source.gate_fd = 0x7ffffff;
  EXPECT_EQ(mover_->AddBuffer(2, source, PlainLayout(8, 4096)).error().code, Errc::kInvalid);
  source.fd = -1;
  source.gate_fd = -1;
  EXPECT_EQ(mover_->AddBuffer(2, source, PlainLayout(8, 4096)).error().code, Errc::kInvalid)
      << "neither descriptor nor process";

  ASSERT_TRUE(Submit({.gate = 1023}, {{0, 0, 7}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  mover_->DropBuffer(1);
  mover_->DropBuffer(77);
  EXPECT_EQ(Submit({}, {{0, 0, 0}}).error().code, Errc::kNotFound);
}

TEST(MoverOptions, AreChecked) {
  EXPECT_EQ(CreateMover({.threads = 0}).error().code, Errc::kInvalid);
  EXPECT_EQ(CreateMover({.threads = 1000}).error().code, Errc::kInvalid);
  EXPECT_EQ(CreateMover({.ring_blocks = 0}).error().code, Errc::kInvalid);
  EXPECT_EQ(CreateMover({.program = "/nonexistent/headrace-mover"}).error().code, Errc::kIo);
}

TEST_P(MoverTest, SaysWhatItIs) {
  StartMover();
  const std::string words = mover_->Describe();
  EXPECT_NE(words.find(" copies from "), std::string::npos) << words;
  EXPECT_EQ(words.find("process") != std::string::npos, GetParam().process) << words;
}

}  // namespace
}  // namespace headrace::transport
