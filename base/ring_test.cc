#include "base/ring.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace headrace {
namespace {

struct Entry {
  uint64_t number;
  uint32_t check;
  uint32_t more[5];
};

Entry MakeEntry(uint64_t number) {
  Entry entry{};
  entry.number = number;
  entry.check = static_cast<uint32_t>(number * 2654435761U);
  for (uint32_t& word : entry.more) word = entry.check ^ static_cast<uint32_t>(number);
  return entry;
}

bool Whole(const Entry& entry, uint64_t number) {
  Entry want = MakeEntry(number);
  return std::memcmp(&entry, &want, sizeof(entry)) == 0;
}

// One memfd mapped twice, as two processes would see it.
class TwoMappings {
 public:
  explicit TwoMappings(size_t bytes) : bytes_(bytes), fd_(memfd_create("ring", MFD_CLOEXEC)) {
    HR_CHECK(fd_.valid() && ftruncate(fd_.get(), static_cast<off_t>(bytes)) == 0);
    for (auto& map : maps_) {
      void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
      HR_CHECK(at != MAP_FAILED);
      map = {static_cast<uint8_t*>(at), bytes};
    }
  }
  ~TwoMappings() {
    for (auto& map : maps_) munmap(map.data(), bytes_);
  }
  std::span<uint8_t> one() { return maps_[0]; }
  std::span<uint8_t> two() { return maps_[1]; }

 private:
  size_t bytes_;
  Fd fd_;
  std::array<std::span<uint8_t>, 2> maps_;
};

void PushPopAcrossThreads(Ring<Entry> producer, Ring<Entry> consumer, uint64_t count) {
  std::thread thread([&] {
    for (uint64_t i = 0; i < count;) {
      if (producer.TryPush(MakeEntry(i))) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t torn = 0;
  for (uint64_t i = 0; i < count;) {
    Entry entry;
    if (consumer.TryPop(&entry)) {
      torn += Whole(entry, i) ? 0 : 1;
      ++i;
    } else {
      std::this_thread::yield();
    }
  }
  thread.join();
  EXPECT_EQ(torn, 0U);
  EXPECT_TRUE(consumer.empty());
}

TEST(Ring, TakesTheLargestPowerOfTwoThatFits) {
  TwoMappings memory(Ring<Entry>::Bytes(8) + 7 * sizeof(Entry));
  auto ring = Ring<Entry>::Create(memory.one());
  ASSERT_TRUE(ring);
  EXPECT_EQ(ring->capacity(), 8U);
}

TEST(Ring, RefusesWhenFullAndWhenEmpty) {
  TwoMappings memory(Ring<Entry>::Bytes(4));
  auto ring = Ring<Entry>::Create(memory.one());
  ASSERT_TRUE(ring);
  Entry entry;
  EXPECT_FALSE(ring->TryPop(&entry));
  for (uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(ring->TryPush(MakeEntry(i)));
  EXPECT_FALSE(ring->TryPush(MakeEntry(4)));
  EXPECT_EQ(ring->size(), 4U);
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(ring->TryPop(&entry));
    EXPECT_TRUE(Whole(entry, i));
  }
  EXPECT_FALSE(ring->TryPop(&entry));
  EXPECT_TRUE(ring->empty());
}

TEST(Ring, WrapsAroundBetweenTwoThreads) {
  TwoMappings memory(Ring<Entry>::Bytes(8));
  auto ring = Ring<Entry>::Create(memory.one());
  ASSERT_TRUE(ring);
  PushPopAcrossThreads(*ring, *ring, 200000);
}

TEST(Ring, WrapsAroundBetweenTwoMappingsOfOneFile) {
  TwoMappings memory(Ring<Entry>::Bytes(64));
  auto producer = Ring<Entry>::Create(memory.one());
  auto consumer = Ring<Entry>::Attach(memory.two());
  ASSERT_TRUE(producer && consumer);
  PushPopAcrossThreads(*producer, *consumer, 200000);
}

TEST(Ring, WorksWithACapacityOfOne) {
  TwoMappings memory(Ring<Entry>::Bytes(1));
  auto ring = Ring<Entry>::Create(memory.one());
  ASSERT_TRUE(ring);
  PushPopAcrossThreads(*ring, *ring, 2000);
}

TEST(Ring, RefusesMemoryThatCannotHoldARing) {
  alignas(64) std::array<uint8_t, 1024> memory{};
  EXPECT_EQ(Ring<Entry>::Create({memory.data() + 8, 512}).error().code, Errc::kInvalid);
  EXPECT_EQ(Ring<Entry>::Create({memory.data(), sizeof(RingHeader)}).error().code, Errc::kInvalid);
  EXPECT_EQ(Ring<Entry>::Attach({memory.data() + 8, 512}).error().code, Errc::kInvalid);
  EXPECT_EQ(Ring<Entry>::Attach({memory.data(), 16}).error().code, Errc::kInvalid);
}

TEST(Ring, RefusesToAttachToWhatIsNoRingOfThisEntry) {
  TwoMappings memory(Ring<Entry>::Bytes(8));
  EXPECT_EQ(Ring<Entry>::Attach(memory.two()).error().code, Errc::kCorrupt);
  ASSERT_TRUE(Ring<Entry>::Create(memory.one()));
  EXPECT_TRUE(Ring<Entry>::Attach(memory.two()));
  EXPECT_EQ(Ring<uint64_t>::Attach(memory.two()).error().code, Errc::kCorrupt);

  auto* header = reinterpret_cast<RingHeader*>(memory.one().data());
  for (uint64_t capacity : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 20, UINT64_MAX}) {
    header->capacity = capacity;
    EXPECT_EQ(Ring<Entry>::Attach(memory.two()).error().code, Errc::kCorrupt) << capacity;
  }
}

TEST(Ring, StallsOnPositionsThatCannotBeTrue) {
  TwoMappings memory(Ring<Entry>::Bytes(4));
  auto ring = Ring<Entry>::Create(memory.one());
  ASSERT_TRUE(ring);
  auto* header = reinterpret_cast<RingHeader*>(memory.two().data());
  Entry entry;
  header->pushed = 1000;  // more than the ring holds
  EXPECT_FALSE(ring->TryPop(&entry));
  header->pushed = 0;
  header->popped = 7;  // more popped than pushed
  EXPECT_FALSE(ring->TryPush(MakeEntry(0)));
  EXPECT_FALSE(ring->TryPop(&entry));
  EXPECT_EQ(ring->size(), 4U);
}

TEST(Ring, KeepsCountingAcrossTheEndOfTheNumbers) {
  TwoMappings memory(Ring<Entry>::Bytes(4));
  auto ring = Ring<Entry>::Create(memory.one());
  ASSERT_TRUE(ring);
  auto* header = reinterpret_cast<RingHeader*>(memory.two().data());
  header->pushed = UINT64_MAX - 1;
  header->popped = UINT64_MAX - 1;
  for (uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(ring->TryPush(MakeEntry(i)));
  EXPECT_FALSE(ring->TryPush(MakeEntry(4)));
  Entry entry;
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(ring->TryPop(&entry));
    EXPECT_TRUE(Whole(entry, i));
  }
}

}  // namespace
}  // namespace headrace
