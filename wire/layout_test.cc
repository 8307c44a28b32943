#include "wire/layout.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "wire/layout_model.h"

namespace headrace::wire {
namespace {

constexpr uint64_t kMax64 = UINT64_MAX;

// K of all blocks of a layer, then V of all blocks; layers one after another.
Layout KFirst(uint64_t blocks, uint64_t segment, uint32_t layers) {
  Layout layout{.num_blocks = blocks,
                .segment_bytes = segment,
                .block_stride = segment,
                .part_stride = blocks * segment,
                .parts = 2};
  for (uint32_t i = 0; i < layers; ++i) layout.layer_offsets.push_back(2 * blocks * segment * i);
  return layout;
}

// K and V of a block adjoin; layers one after another.
Layout BlocksFirst(uint64_t blocks, uint64_t segment, uint32_t layers) {
  Layout layout{.num_blocks = blocks,
                .segment_bytes = segment,
                .block_stride = 2 * segment,
                .part_stride = segment,
                .parts = 2};
  for (uint32_t i = 0; i < layers; ++i) layout.layer_offsets.push_back(2 * blocks * segment * i);
  return layout;
}

// One segment a layer and block: MLA, or K and V packed.
Layout Packed(uint64_t blocks, uint64_t segment, uint32_t layers) {
  Layout layout{.num_blocks = blocks, .segment_bytes = segment, .block_stride = segment};
  for (uint32_t i = 0; i < layers; ++i) layout.layer_offsets.push_back(blocks * segment * i);
  return layout;
}

// All layers of a block in one run.
Layout CrossLayer(uint64_t blocks, uint64_t segment, uint32_t layers) {
  Layout layout{.num_blocks = blocks, .segment_bytes = segment, .block_stride = segment * layers};
  for (uint32_t i = 0; i < layers; ++i) layout.layer_offsets.push_back(i * segment);
  return layout;
}

std::string WhatOf(const Layout& layout, uint64_t buffer_bytes) {
  const Status status = ValidateLayout(layout, buffer_bytes);
  if (status) return "";
  EXPECT_EQ(status.error().code, Errc::kInvalid);
  return status.error().what;
}

bool Names(const std::string& what, const std::string& field) {
  return what.rfind("layout." + field + ":", 0) == 0;
}

TEST(ValidateLayout, AcceptsWhatEnginesUseInABufferThatJustFits) {
  const uint64_t bytes = uint64_t{512} * 32 * 2 * 32768;
  EXPECT_EQ(WhatOf(KFirst(512, 32768, 32), bytes), "");
  EXPECT_EQ(WhatOf(BlocksFirst(512, 32768, 32), bytes), "");
  EXPECT_EQ(WhatOf(Packed(512, 65536, 32), bytes), "");
  EXPECT_EQ(WhatOf(CrossLayer(512, 65536, 32), bytes), "");
  EXPECT_EQ(WhatOf(Packed(1, bytes / 32, 32), bytes), "");
}

TEST(ValidateLayout, RefusesABufferThatIsOneByteShort) {
  const uint64_t bytes = uint64_t{512} * 32 * 2 * 32768;
  EXPECT_TRUE(Names(WhatOf(KFirst(512, 32768, 32), bytes - 1), "layer_offsets"));
  EXPECT_TRUE(Names(WhatOf(BlocksFirst(512, 32768, 32), bytes - 1), "layer_offsets"));
  EXPECT_TRUE(Names(WhatOf(CrossLayer(512, 65536, 32), bytes - 1), "layer_offsets"));
  EXPECT_TRUE(Names(WhatOf(Packed(512, 65536, 1), 512 * 65536 - 1), "block_stride"));
  EXPECT_TRUE(Names(WhatOf(KFirst(512, 65536, 1), 1024 * 65536 - 1), "part_stride"));
  EXPECT_TRUE(Names(WhatOf(Packed(1, 65536, 1), 65535), "segment_bytes"));
}

TEST(ValidateLayout, NamesTheFieldThatIsOutOfRange) {
  const uint64_t bytes = 1 << 20;
  const auto changed = [&](auto change) {
    Layout layout = KFirst(4, 256, 2);
    change(layout);
    return WhatOf(layout, bytes);
  };
  EXPECT_TRUE(Names(changed([](Layout& l) { l.num_blocks = 0; }), "num_blocks"));
  EXPECT_TRUE(Names(changed([](Layout& l) { l.num_blocks = uint64_t{1} << 32; }), "num_blocks"));
  EXPECT_TRUE(Names(changed([](Layout& l) { l.segment_bytes = 0; }), "segment_bytes"));
  EXPECT_TRUE(
      Names(changed([](Layout& l) { l.segment_bytes = uint64_t{1} << 32; }), "segment_bytes"));
  EXPECT_TRUE(Names(changed([](Layout& l) { l.parts = 0; }), "parts"));
  EXPECT_TRUE(Names(changed([](Layout& l) { l.parts = 3; }), "parts"));
  EXPECT_TRUE(Names(changed([](Layout& l) { l.layer_offsets.clear(); }), "layer_offsets"));
  const std::string too_many =
      changed([](Layout& l) { l.layer_offsets.assign(kMaxLayers + 1, 0); });
  EXPECT_TRUE(Names(too_many, "layer_offsets"));
  EXPECT_NE(too_many.find(std::to_string(kMaxLayers)), std::string::npos);
}

TEST(ValidateLayout, NamesTheFieldThatMakesSegmentsOverlap) {
  const uint64_t bytes = 1 << 20;
  Layout blocks = KFirst(4, 256, 2);
  blocks.block_stride = 255;
  EXPECT_TRUE(Names(WhatOf(blocks, bytes), "block_stride"));
  blocks.block_stride = 0;
  EXPECT_TRUE(Names(WhatOf(blocks, bytes), "block_stride"));
  Layout parts = KFirst(4, 256, 2);
  parts.part_stride -= 1;
  EXPECT_TRUE(Names(WhatOf(parts, bytes), "part_stride"));
  parts.part_stride = 0;
  EXPECT_TRUE(Names(WhatOf(parts, bytes), "part_stride"));
  Layout layers = KFirst(4, 256, 2);
  layers.layer_offsets[1] -= 1;
  EXPECT_TRUE(Names(WhatOf(layers, bytes), "layer_offsets"));
  layers.layer_offsets[1] = layers.layer_offsets[0];
  EXPECT_TRUE(Names(WhatOf(layers, bytes), "layer_offsets"));
}

TEST(ValidateLayout, AcceptsRowsThatInterleave) {
  // Three layers side by side in each stride; the fourth begins where the blocks of the first end.
  const uint64_t stride = 48;
  Layout layout{.num_blocks = 8, .segment_bytes = 16, .block_stride = stride};
  layout.layer_offsets = {0, 16, 32, 8 * stride};
  EXPECT_EQ(WhatOf(layout, 16 * stride), "");
  layout.layer_offsets[3] = 7 * stride;
  EXPECT_TRUE(Names(WhatOf(layout, 16 * stride), "layer_offsets"));
}

TEST(ValidateLayout, SeesRowsThatMeetAcrossAStrideBoundary) {
  // The tail of a segment at residue 40 of 48 reaches residue 0 of the next stride.
  const uint64_t stride = 48;
  Layout layout{.num_blocks = 4, .segment_bytes = 16, .block_stride = stride};
  layout.layer_offsets = {40, 3 * stride};
  EXPECT_TRUE(Names(WhatOf(layout, 4096), "layer_offsets"));
  layout.layer_offsets = {40, 0};
  EXPECT_TRUE(Names(WhatOf(layout, 4096), "layer_offsets"));
  layout.layer_offsets = {40, 5 * stride};
  EXPECT_EQ(WhatOf(layout, 4096), "");
}

TEST(ValidateLayout, DoesNotWrapAround) {
  Layout layout{.num_blocks = 2, .segment_bytes = 16, .block_stride = kMax64 - 8};
  layout.layer_offsets = {0};
  EXPECT_TRUE(Names(WhatOf(layout, kMax64), "block_stride"));
  layout.num_blocks = 0xffffffff;
  layout.block_stride = uint64_t{1} << 33;
  EXPECT_TRUE(Names(WhatOf(layout, kMax64), "block_stride"));
  Layout parts{.num_blocks = 1, .segment_bytes = 16, .part_stride = kMax64 - 8, .parts = 2};
  parts.layer_offsets = {0};
  EXPECT_TRUE(Names(WhatOf(parts, kMax64), "part_stride"));
  Layout layers{.num_blocks = 1, .segment_bytes = 16};
  layers.layer_offsets = {kMax64 - 8};
  EXPECT_TRUE(Names(WhatOf(layers, kMax64), "layer_offsets"));
  layers.layer_offsets = {kMax64 - 16};
  EXPECT_EQ(WhatOf(layers, kMax64), "");
}

TEST(ValidateLayout, AcceptsALayoutAtTheEndOfTheAddressSpace) {
  Layout layout{.num_blocks = 2, .segment_bytes = 16, .block_stride = kMax64 - 16};
  layout.layer_offsets = {0};
  EXPECT_EQ(WhatOf(layout, kMax64), "");
  layout.layer_offsets = {0, 1};
  EXPECT_TRUE(Names(WhatOf(layout, kMax64), "layer_offsets"));
  Layout tight{.num_blocks = 0xffffffff, .segment_bytes = 1, .block_stride = 1};
  tight.layer_offsets = {0, 0xffffffff, kMax64 - 0xffffffff};
  EXPECT_EQ(WhatOf(tight, kMax64), "");
  tight.layer_offsets[1] -= 1;
  EXPECT_TRUE(Names(WhatOf(tight, kMax64), "layer_offsets"));
}

TEST(ValidateLayout, AgreesWithBruteForce) {
  std::mt19937_64 random(3);
  int valid = 0, invalid = 0;
  for (int i = 0; i < 300000; ++i) {
    Layout layout{.num_blocks = 1 + random() % 6,
                  .segment_bytes = 1 + random() % 8,
                  .block_stride = random() % 24,
                  .part_stride = random() % 60,
                  .parts = static_cast<uint32_t>(1 + random() % 2)};
    const size_t layers = 1 + random() % 4;
    for (size_t j = 0; j < layers; ++j) layout.layer_offsets.push_back(random() % 160);
    const uint64_t bytes = 40 + random() % 300;
    const bool expected = ModelValid(layout, bytes);
    ASSERT_EQ(ValidateLayout(layout, bytes).has_value(), expected)
        << "blocks " << layout.num_blocks << " bytes " << layout.segment_bytes << " strides "
        << layout.block_stride << ' ' << layout.part_stride << " parts " << layout.parts;
    ++(expected ? valid : invalid);
  }
  EXPECT_GT(valid, 10000);
  EXPECT_GT(invalid, 10000);
}

TEST(ValidateLayout, DoesNotVisitBlocks) {
  // 4 billion blocks of 8192 rows in one residue class: only a test that ignores blocks ends.
  Layout layout = KFirst(0xffffffff, 64, kMaxLayers);
  const uint64_t bytes = layout.layer_offsets.back() + 2 * layout.part_stride;
  EXPECT_EQ(WhatOf(layout, bytes), "");
  layout.layer_offsets[kMaxLayers / 2] -= 64;
  EXPECT_TRUE(Names(WhatOf(layout, bytes), "layer_offsets"));
}

}  // namespace
}  // namespace headrace::wire
