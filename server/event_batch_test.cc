#include "server/event_batch.h"

#include <gtest/gtest.h>

#include "server/event_samples.h"

namespace headrace::server {
namespace {

ResidentSet::Block BlockOf(uint64_t number, uint64_t parent, uint32_t depth) {
  return {.hash = HashOf(number),
          .parent = parent == 0 ? wire::BlockHash{} : HashOf(parent),
          .depth = depth};
}

struct Decoded {
  explicit Decoded(EventBatch* from, const wire::EventForm& form = {})
      : payload(from->Encode(1.5, form)) {
    HR_CHECK(
        decoder.Decode({reinterpret_cast<const uint8_t*>(payload.data()), payload.size()}, &batch));
  }
  std::string payload;
  wire::EventDecoder decoder;
  wire::EventBatch batch;
};

TEST(EventBatch, JoinsBlocksThatFollowEachOther) {
  EventBatch batch;
  batch.AddStored(BlockOf(1, 0, 0), 16);
  batch.AddStored(BlockOf(2, 1, 1), 16);
  batch.AddStored(BlockOf(3, 2, 2), 16);
  const Decoded decoded(&batch);
  ASSERT_EQ(decoded.batch.events.size(), 1u);
  const wire::Event& event = decoded.batch.events[0];
  EXPECT_EQ(std::vector(event.hashes.begin(), event.hashes.end()),
            (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_FALSE(event.parent);
  EXPECT_EQ(event.block_size, 16u);
  EXPECT_EQ(decoded.batch.timestamp, 1.5);
  EXPECT_EQ(decoded.batch.rank, 0);
}

TEST(EventBatch, KeepsApartWhatDoesNotFollow) {
  EventBatch batch;
  batch.AddStored(BlockOf(1, 0, 0), 16);
  batch.AddStored(BlockOf(2, 1, 1), 16);
  batch.AddStored(BlockOf(4, 1, 1), 16);  // another child
  batch.AddStored(BlockOf(5, 4, 4), 16);  // farther off
  batch.AddStored(BlockOf(6, 5, 5), 32);  // another block size
  ResidentSet::Block adapted = BlockOf(7, 6, 6);
  adapted.lora_id = 9;
  batch.AddStored(adapted, 32);
  const Decoded decoded(&batch);
  ASSERT_EQ(decoded.batch.events.size(), 5u);
  EXPECT_EQ(decoded.batch.events[1].parent, 1u);
  EXPECT_EQ(decoded.batch.events[4].lora_id, 9);
}

TEST(EventBatch, KeepsTheOrderOfStoredAndRemoved) {
  EventBatch batch;
  batch.AddStored(BlockOf(1, 0, 0), 16);
  batch.AddRemoved(HashOf(1), ReasonName(engine::RemoveReason::kEvicted));
  batch.AddRemoved(HashOf(2), ReasonName(engine::RemoveReason::kEvicted));
  batch.AddRemoved(HashOf(3), ReasonName(engine::RemoveReason::kCleared));
  batch.AddStored(BlockOf(1, 0, 0), 16);
  const Decoded decoded(&batch);
  ASSERT_EQ(decoded.batch.events.size(), 4u);
  EXPECT_EQ(decoded.batch.events[1].hashes.size(), 2u);
  EXPECT_EQ(decoded.batch.events[1].reason, "evicted");
  EXPECT_EQ(decoded.batch.events[2].reason, "cleared");
  EXPECT_EQ(decoded.batch.events[3].type, wire::EventType::kStored);
}

TEST(EventBatch, TellsWholeHashesWhereAsked) {
  EventBatch batch;
  batch.AddStored(BlockOf(2, 1, 1), 16);
  const Decoded decoded(&batch, {.int_hashes = false});
  const wire::Event& event = decoded.batch.events[0];
  EXPECT_EQ(event.hash_bytes, 32);
  EXPECT_TRUE(std::ranges::equal(event.full_hashes, HashOf(2).view()));
  EXPECT_TRUE(std::ranges::equal(event.full_parent, HashOf(1).view()));
}

TEST(EventBatch, PadsShortHashesToAWord) {
  const std::vector<uint8_t> bytes = {0x12, 0x34};
  EventBatch batch;
  batch.AddStored({.hash = wire::BlockHash::Of(bytes)}, 16);
  EXPECT_EQ(Decoded(&batch).batch.events[0].hashes[0], 0x1234u);
}

TEST(EventBatch, CarriesTokensOfAllBlocksOfARun) {
  const std::vector<uint32_t> one = {1, 2};
  const std::vector<uint32_t> two = {3, 4};
  EventBatch batch;
  ResidentSet::Block first = BlockOf(1, 0, 0);
  first.tokens = one;
  ResidentSet::Block second = BlockOf(2, 1, 1);
  second.tokens = two;
  batch.AddStored(first, 2);
  batch.AddStored(second, 2);
  batch.AddStored(BlockOf(3, 2, 2), 2);  // of which no tokens are known
  const Decoded decoded(&batch);
  ASSERT_EQ(decoded.batch.events.size(), 2u);
  const auto tokens = decoded.batch.events[0].tokens;
  EXPECT_EQ(std::vector(tokens.begin(), tokens.end()), (std::vector<uint32_t>{1, 2, 3, 4}));
  EXPECT_TRUE(decoded.batch.events[1].tokens.empty());
}

TEST(EventBatch, StartsAnewAfterEncode) {
  EventBatch batch;
  batch.AddStored(BlockOf(1, 0, 0), 16);
  EXPECT_EQ(Decoded(&batch).batch.events.size(), 1u);
  EXPECT_TRUE(batch.empty());
  EXPECT_TRUE(Decoded(&batch).batch.events.empty());
}

}  // namespace
}  // namespace headrace::server
