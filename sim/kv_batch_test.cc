#include "sim/kv_batch.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/hex.h"
#include "base/wait_rig.h"
#include "sim/kv_samples.h"

namespace headrace::sim {
namespace {

// Everything that an event can say.
struct Rich {
  explicit Rich(uint8_t size) {
    hashes = {KvHashOf(10, size), KvHashOf(11, size)};
    parent = KvHashOf(9, size);
    extras.resize(2);
    extras[1] = {{.atoms = {std::string("img"), int64_t{-2}}},
                 {.atoms = {std::string("salt"), int64_t{3}}, .bare = true}};
    batch.Add({.kind = KvChange::Kind::kStored,
               .hashes = hashes,
               .parent = &parent,
               .tokens = tokens,
               .extras = extras,
               .lora_slot = 2,
               .lora_name = "adapter"});
    batch.Add({.kind = KvChange::Kind::kRemoved, .hashes = std::span(hashes).last(1)});
    batch.Add({.kind = KvChange::Kind::kCleared});
    StoredSample plain(12, size);
    batch.Add(plain.change);
  }
  std::vector<wire::BlockHash> hashes;
  wire::BlockHash parent;
  std::vector<uint32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<wire::ExtraKeys> extras;
  KvBatch batch;
};

void ExpectRich(const wire::EventBatch& batch) {
  ASSERT_EQ(batch.events.size(), 4u);
  const wire::Event& stored = batch.events[0];
  EXPECT_EQ(stored.type, wire::EventType::kStored);
  EXPECT_EQ(std::vector<uint64_t>(stored.hashes.begin(), stored.hashes.end()),
            (std::vector<uint64_t>{10, 11}));
  EXPECT_EQ(stored.parent, 9u);
  EXPECT_EQ(stored.tokens.size(), 8u);
  EXPECT_EQ(stored.tokens[7], 8u);
  EXPECT_EQ(stored.block_size, 4u);
  EXPECT_EQ(stored.lora_id, 2);
  EXPECT_EQ(stored.lora_name, "adapter");
  EXPECT_EQ(stored.medium, "GPU");
  EXPECT_EQ(Hex(stored.extra_keys), "92c09392a3696d67fea473616c7403");
  const wire::Event& removed = batch.events[1];
  EXPECT_EQ(removed.type, wire::EventType::kRemoved);
  EXPECT_EQ(removed.hashes.size(), 1u);
  EXPECT_EQ(removed.hashes[0], 11u);
  EXPECT_EQ(removed.medium, "GPU");
  EXPECT_EQ(batch.events[2].type, wire::EventType::kCleared);
  const wire::Event& plain = batch.events[3];
  EXPECT_EQ(plain.hashes[0], 12u);
  EXPECT_FALSE(plain.parent);
  EXPECT_FALSE(plain.lora_id);
  EXPECT_EQ(plain.lora_name, "");
  EXPECT_TRUE(plain.extra_keys.empty());
  EXPECT_EQ(plain.tokens[3], 70000u);
}

TEST(KvBatch, SaysTheSameInEveryForm) {
  for (const bool array : {false, true}) {
    for (const bool numbers : {false, true}) {
      SCOPED_TRACE(testing::Message() << array << numbers);
      const Rich rich(32);
      KvReader reader;
      const std::string payload = rich.batch.Encode(
          1.5, {.wire = {.array = array, .int_hashes = numbers}, .block_tokens = 4, .rank = 3});
      const Status decoded = reader.decoder.Decode(
          {reinterpret_cast<const uint8_t*>(payload.data()), payload.size()}, &reader.batch);
      ASSERT_TRUE(decoded);
      EXPECT_EQ(reader.batch.timestamp, 1.5);
      EXPECT_EQ(reader.batch.rank, 3);
      ExpectRich(reader.batch);
      EXPECT_EQ(reader.batch.events[0].hash_bytes, numbers ? 0 : 32);
      EXPECT_EQ(reader.batch.events[0].full_parent.size(), numbers ? 0u : 32u);
    }
  }
}

TEST(KvBatch, NamesNoRankWhenItHasNone) {
  KvBatch batch;
  KvReader reader;
  reader.Read(batch.Encode(2, {}));
  EXPECT_EQ(reader.batch.rank, -1);
  EXPECT_EQ(reader.events, 0u);
}

TEST(KvBatch, IsEmptyOnceCleared) {
  Rich rich(8);
  rich.batch.Clear();
  EXPECT_TRUE(rich.batch.empty());
  StoredSample one(5);
  rich.batch.Add(one.change);
  KvReader reader;
  reader.Read(rich.batch.Encode(1, {}));
  EXPECT_EQ(reader.blocks, std::set<uint64_t>{5});
  EXPECT_EQ(reader.batch.events[0].tokens.size(), 4u);
}

std::set<uint64_t> Blocks(const KvBatch& batch) {
  KvReader reader;
  reader.Read(batch.Encode(1, {}));
  return reader.blocks;
}

TEST(KvQueue, GivesFullBatchesAndWhatHasBegun) {
  KvQueue queue(2, 4);
  KvBatch batch;
  StoredSample one(1), two(2), three(3);
  EXPECT_TRUE(queue.Push(one.change));  // has begun
  EXPECT_FALSE(queue.Pop(&batch));
  EXPECT_TRUE(queue.begun());
  EXPECT_TRUE(queue.Push(two.change));  // is full
  EXPECT_TRUE(queue.Push(three.change));
  EXPECT_FALSE(queue.PopBegun(&batch));  // it is younger than what is full
  ASSERT_TRUE(queue.Pop(&batch));
  EXPECT_EQ(Blocks(batch), (std::set<uint64_t>{1, 2}));
  ASSERT_TRUE(queue.PopBegun(&batch));
  EXPECT_EQ(Blocks(batch), std::set<uint64_t>{3});
  EXPECT_FALSE(queue.PopBegun(&batch));
  EXPECT_FALSE(queue.begun());
}

TEST(KvQueue, AsksForAWakeOnlyWhenSomethingIsNew) {
  KvQueue queue(3, 4);
  StoredSample one(1);
  EXPECT_TRUE(queue.Push(one.change));
  EXPECT_FALSE(queue.Push(one.change));
  EXPECT_TRUE(queue.Push(one.change));
}

TEST(KvQueue, LosesNothingWhenItIsFull) {
  KvQueue queue(1, 2);
  constexpr uint64_t kCount = 100;
  std::thread producer([&] {
    for (uint64_t number = 1; number <= kCount; ++number) {
      StoredSample sample(number);
      queue.Push(sample.change);
    }
  });
  EXPECT_TRUE(Eventually([&] { return queue.waits() == 1; }));
  KvBatch batch;
  uint64_t next = 1;
  EXPECT_TRUE(Eventually([&] {
    while (queue.Pop(&batch)) {
      EXPECT_EQ(Blocks(batch), std::set<uint64_t>{next});
      ++next;
    }
    return next > kCount;
  }));
  producer.join();
  EXPECT_EQ(queue.thrown(), 0u);
}

TEST(KvQueue, KeepsNobodyWaitingOnceItIsClosed) {
  KvQueue queue(1, 1);
  std::thread producer([&] {
    StoredSample one(1), two(2), three(3);
    queue.Push(one.change);
    queue.Push(two.change);
    queue.Push(three.change);
  });
  EXPECT_TRUE(Eventually([&] { return queue.waits() == 1; }));
  queue.Close();
  producer.join();
  EXPECT_EQ(queue.thrown(), 2u);
  KvBatch batch;
  EXPECT_TRUE(queue.Pop(&batch));
  EXPECT_FALSE(queue.Pop(&batch));
}

}  // namespace
}  // namespace headrace::sim
