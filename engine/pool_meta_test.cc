#include "engine/pool_meta.h"

#include <gtest/gtest.h>

namespace headrace::engine {
namespace {

PoolShape Shape() {
  return {.page_bytes = 1 << 20,
          .min_slot_bytes = 16 << 10,
          .max_namespaces = 8,
          .regions = {{3 << 20, 0}, {2 << 20, 1}}};
}

TEST(PoolMeta, LaysOutHeaderNamespacesPagesAndSlots) {
  const PoolShape shape = Shape();
  std::vector<uint8_t> memory(shape.MetaBytes());
  PoolMeta meta = *PoolMeta::Format(memory, shape, 42);
  const wire::PoolHeader& header = meta.header();
  EXPECT_EQ(header.magic, wire::kPoolMagic);
  EXPECT_EQ(header.version, 1u);
  EXPECT_EQ(header.header_bytes, 4096u);
  EXPECT_EQ(header.num_pages, 5u);
  EXPECT_EQ(header.slots_per_page, 64u);
  EXPECT_EQ(header.namespaces_offset, 4096u);
  EXPECT_EQ(header.pages_offset, 4096u + 8 * 512);
  EXPECT_EQ(header.slots_offset, 12288u);
  EXPECT_EQ(header.file_bytes, 12288u + 5 * 64 * 128);
  EXPECT_EQ(header.file_bytes, memory.size());
  EXPECT_EQ(header.server_epoch, 42u);
  EXPECT_EQ(header.region_bytes[1], 2u << 20);
  EXPECT_EQ(meta.namespaces().size(), 8u);
  EXPECT_EQ(meta.slots().size(), 320u);
  EXPECT_EQ(reinterpret_cast<uint8_t*>(meta.slots().data()), memory.data() + header.slots_offset);
}

TEST(PoolMeta, CutsRegionsIntoPages) {
  const PoolShape shape = Shape();
  std::vector<uint8_t> memory(shape.MetaBytes());
  PoolMeta meta = *PoolMeta::Format(memory, shape, 1);
  ASSERT_EQ(meta.pages().size(), 5u);
  EXPECT_EQ(meta.pages()[2].offset, 2u << 20);
  EXPECT_EQ(meta.pages()[2].region, 0u);
  EXPECT_EQ(meta.pages()[3].offset, 0u);
  EXPECT_EQ(meta.pages()[3].region, 1u);
  EXPECT_EQ(meta.pages()[4].numa_node, 1u);
  for (const auto& page : meta.pages()) EXPECT_EQ(page.ready, 0u);
}

TEST(PoolMeta, RefusesShapesThatDoNotFit) {
  std::vector<uint8_t> memory(Shape().MetaBytes());
  const auto code = [&](auto change) {
    PoolShape shape = Shape();
    change(&shape);
    return PoolMeta::Format(memory, shape, 1).error().code;
  };
  EXPECT_EQ(code([](auto* s) { s->min_slot_bytes = 0; }), Errc::kInvalid);
  EXPECT_EQ(code([](auto* s) { s->min_slot_bytes = 5000; }), Errc::kInvalid);
  EXPECT_EQ(code([](auto* s) { s->page_bytes = 8192; }), Errc::kInvalid);
  EXPECT_EQ(code([](auto* s) { s->regions[0].bytes += 4096; }), Errc::kInvalid);
  EXPECT_EQ(code([](auto* s) { s->regions[0].bytes = 0; }), Errc::kInvalid);
  EXPECT_EQ(code([](auto* s) { s->regions.resize(65, s->regions[0]); }), Errc::kLimit);
  EXPECT_EQ(code([](auto* s) { s->regions[0].bytes = 64ull << 40; }), Errc::kLimit);
  EXPECT_EQ(code([](auto* s) { s->max_namespaces = 100; }), Errc::kInvalid);  // memory too short
}

TEST(PoolMeta, DescribesAPoolOfSizeZero) {
  const PoolShape shape;
  std::vector<uint8_t> memory(shape.MetaBytes());
  PoolMeta meta = *PoolMeta::Format(memory, shape, 1);
  EXPECT_EQ(meta.pages().size(), 0u);
  EXPECT_EQ(meta.slots().size(), 0u);
}

}  // namespace
}  // namespace headrace::engine
