#include "wire/segments.h"

#include <gtest/gtest.h>

#include <random>

#include "wire/layout_model.h"

namespace headrace::wire {
namespace {

struct Piece {
  uint64_t buffer, slot, bytes;
  bool operator==(const Piece&) const = default;
};

std::vector<Piece> RunsOf(const Layout& layout, uint64_t block) {
  std::vector<Piece> runs;
  ForEachRun(layout, block, [&](uint64_t buffer, uint64_t slot, uint64_t bytes) {
    runs.push_back({buffer, slot, bytes});
  });
  return runs;
}

TEST(ForEachRun, KeepsThePartsOfAKFirstSplitApart) {
  const Layout layout{.num_blocks = 4,
                      .segment_bytes = 16,
                      .block_stride = 16,
                      .part_stride = 64,
                      .parts = 2,
                      .layer_offsets = {0, 128}};
  EXPECT_EQ(RunsOf(layout, 1),
            (std::vector<Piece>{{16, 0, 16}, {144, 16, 16}, {80, 32, 16}, {208, 48, 16}}));
}

TEST(ForEachRun, KeepsPartsThatAdjoinInTheBufferButNotInTheSlotApart) {
  const Layout layout{.num_blocks = 4,
                      .segment_bytes = 16,
                      .block_stride = 32,
                      .part_stride = 16,
                      .parts = 2,
                      .layer_offsets = {0, 128}};
  EXPECT_EQ(RunsOf(layout, 0).size(), 4u);
}

TEST(ForEachRun, JoinsTheLayersOfACrossLayerBlock) {
  const Layout layout{
      .num_blocks = 4, .segment_bytes = 16, .block_stride = 48, .layer_offsets = {0, 16, 32}};
  EXPECT_EQ(RunsOf(layout, 2), (std::vector<Piece>{{96, 0, 48}}));
}

TEST(ForEachRun, JoinsBothPartsOfAOneLayerBlock) {
  const Layout layout{.num_blocks = 2,
                      .segment_bytes = 16,
                      .block_stride = 32,
                      .part_stride = 16,
                      .parts = 2,
                      .layer_offsets = {8}};
  EXPECT_EQ(RunsOf(layout, 1), (std::vector<Piece>{{40, 0, 32}}));
}

TEST(ForEachRun, JoinsOnlyTheNeighboursThatAdjoin) {
  const Layout layout{.num_blocks = 1, .segment_bytes = 8, .layer_offsets = {32, 40, 8, 0, 16, 24}};
  EXPECT_EQ(RunsOf(layout, 0),
            (std::vector<Piece>{{32, 0, 16}, {8, 16, 8}, {0, 24, 8}, {16, 32, 16}}));
}

TEST(ForEachRun, AgreesWithBruteForce) {
  std::mt19937_64 random(4);
  int checked = 0;
  while (checked < 5000) {
    Layout layout{.num_blocks = 1 + random() % 4,
                  .segment_bytes = 1 + random() % 8,
                  .block_stride = random() % 64,
                  .part_stride = random() % 64,
                  .parts = static_cast<uint32_t>(1 + random() % 2)};
    const size_t layers = 1 + random() % 5;
    for (size_t j = 0; j < layers; ++j) {
      layout.layer_offsets.push_back(layout.segment_bytes * (random() % 40));
    }
    if (!ValidateLayout(layout, 1024)) continue;
    ++checked;
    const uint64_t block = random() % layout.num_blocks;
    const std::vector<Piece> runs = RunsOf(layout, block);
    std::vector<uint64_t> bytes;
    for (const Piece& run : runs) {
      ASSERT_EQ(run.slot, bytes.size());
      for (uint64_t i = 0; i < run.bytes; ++i) bytes.push_back(run.buffer + i);
    }
    ASSERT_EQ(bytes, ModelBytes(layout, block));
    for (size_t i = 1; i < runs.size(); ++i) {
      ASSERT_NE(runs[i].buffer, runs[i - 1].buffer + runs[i - 1].bytes) << "not merged";
    }
  }
}

}  // namespace
}  // namespace headrace::wire
