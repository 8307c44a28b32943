#include <gtest/gtest.h>

#include <limits>

#include "wire/event.h"
#include "wire/event_samples.h"
#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

std::string Encoded(const EventBatch& batch, const EventForm& form) {
  std::string out;
  EncodeEventBatch(batch, form, &out);
  return out;
}

std::string EncodedAlone(const Event& event, const EventForm& form) {
  const std::string batch = Encoded({.events = {&event, 1}}, form);
  constexpr size_t kBeforeEvents = 1 + 9 + 1;  // [0.0, [
  return batch.substr(kBeforeEvents, batch.size() - kBeforeEvents - 1);
}

TEST(EventEncoder, WritesWhatTheDecoderReads) {
  const FullEvents full;
  for (const bool array : {false, true}) {
    for (const bool ints : {false, true}) {
      const EventForm form = {.array = array, .int_hashes = ints};
      const std::string payload = Encoded(full.batch(), form);
      EventDecoder decoder;
      EventBatch batch;
      ASSERT_TRUE(decoder.Decode(BytesOf(payload), &batch));
      EXPECT_TRUE(SameBatch(batch, full.batch(), form)) << array << ints;
      EXPECT_EQ(Encoded(batch, form), payload);
    }
  }
}

TEST(EventEncoder, AppendsOneBatch) {
  std::string out = "before";
  EncodeEventBatch({}, {}, &out);
  EXPECT_EQ(out, Raw("before\x93\xcb\0\0\0\0\0\0\0\0\x90\xc0"));
}

TEST(EventEncoder, WritesARankOnlyWhenThereIsOne) {
  EXPECT_EQ(Encoded({.rank = -1}, {}).back(), '\xc0');
  EXPECT_EQ(Encoded({.rank = 0}, {}).back(), '\0');
  const std::string large = Encoded({.rank = std::numeric_limits<int32_t>::max()}, {});
  EXPECT_EQ(large.substr(large.size() - 5), "\xce\x7f\xff\xff\xff");
}

TEST(EventEncoder, LeavesDefaultsOfAMapOut) {
  const uint64_t hash = 7;
  const Event stored{.type = EventType::kStored, .hashes = {&hash, 1}};
  EXPECT_EQ(EncodedAlone(stored, {}), Raw("\x88\xa4type\xab"
                                          "BlockStored\xac"
                                          "block_hashes\x91\x07\xb1"
                                          "parent_block_hash\xc0\xa9token_ids\x90\xaa"
                                          "block_size\x00\xa7lora_id\xc0"
                                          "\xa6medium\xc0\xa9lora_name\xc0"));
  const Event removed{.type = EventType::kRemoved, .hashes = {&hash, 1}};
  EXPECT_EQ(EncodedAlone(removed, {}),
            "\x83\xa4type\xac"
            "BlockRemoved\xac"
            "block_hashes\x91\x07\xa6medium\xc0");
  EXPECT_EQ(EncodedAlone(Event{}, {}),
            "\x81\xa4type\xb0"
            "AllBlocksCleared");
}

// Readers of the array form differ in how many elements they can bear: never more than needed.
TEST(EventEncoder, WritesAnArrayNoLongerThanItsLastField) {
  const uint64_t hash = 7;
  Event stored{.type = EventType::kStored, .hashes = {&hash, 1}};
  stored.block_size = 4;
  const auto length = [](const Event& event) {
    return EncodedAlone(event, {.array = true})[0] & 0x0f;
  };
  EXPECT_EQ(EncodedAlone(stored, {.array = true}),
            "\x97\xab"
            "BlockStored\x91\x07\xc0\x90\x04\xc0\xc0");
  stored.lora_name = "a";
  EXPECT_EQ(length(stored), 8);
  const uint8_t extra[] = {0x91, 0xc0};
  stored.extra_keys = extra;
  EXPECT_EQ(length(stored), 9);
  stored.group = 0;
  EXPECT_EQ(length(stored), 10);
  stored.group = -1;
  stored.spec_kind = "mamba";
  EXPECT_EQ(length(stored), 11);
  stored.sliding_window = 1;
  EXPECT_EQ(length(stored), 12);

  Event removed{.type = EventType::kRemoved, .hashes = {&hash, 1}};
  removed.reason = "evicted";
  EXPECT_EQ(EncodedAlone(removed, {.array = true}),
            "\x93\xac"
            "BlockRemoved\x91\x07\xc0");
  removed.group = 1;
  EXPECT_EQ(EncodedAlone(removed, {.array = true}),
            "\x94\xac"
            "BlockRemoved\x91\x07\xc0\x01");
  EXPECT_EQ(EncodedAlone(Event{}, {.array = true}),
            "\x91\xb0"
            "AllBlocksCleared");
}

TEST(EventEncoder, WritesAParentAsBytesOnlyWhenItHasThem) {
  const uint64_t low = 0x1fe;
  const uint8_t full[] = {0, 0, 0, 0, 0, 0, 1, 0xfe};
  Event event{
      .type = EventType::kStored, .hashes = {&low, 1}, .full_hashes = full, .hash_bytes = 8};
  event.parent = low;
  const std::string name = "parent_block_hash";
  const auto parent = [&](const EventForm& form) {
    const std::string bytes = EncodedAlone(event, form);
    return bytes.substr(bytes.find(name) + name.size(), 3);
  };
  EXPECT_EQ(parent({.int_hashes = true}), "\xcd\x01\xfe");
  EXPECT_EQ(parent({.int_hashes = false}), "\xcd\x01\xfe");
  event.full_parent = full;
  EXPECT_EQ(parent({.int_hashes = true}), "\xcd\x01\xfe");
  EXPECT_EQ(parent({.int_hashes = false}), Raw("\xc4\x08\x00"));
}

TEST(EventEncoderDeathTest, WantsFullHashesForBytes) {
  const uint64_t hash = 7;
  const Event event{.type = EventType::kRemoved, .hashes = {&hash, 1}};
  EXPECT_DEATH(EncodedAlone(event, {.int_hashes = false}), "width");
}

}  // namespace
}  // namespace headrace::wire
