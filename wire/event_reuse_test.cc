// One decoder for many batches: what it allocates, and what becomes of it when it moves.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "wire/event.h"
#include "wire/event_samples.h"

namespace {
std::atomic<uint64_t> allocations{0};
}  // namespace

// Not inlined: the compiler would take malloc and delete for a pair that does not fit.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace headrace::wire {
namespace {

TEST(EventDecoder, AllocatesNothingOnceItIsWarm) {
  const FullEvents full;
  std::vector<std::string> payloads;
  for (const bool array : {false, true}) {
    for (const bool ints : {false, true}) {
      EncodeEventBatch(full.batch(), {.array = array, .int_hashes = ints},
                       &payloads.emplace_back());
    }
  }
  // [1, [5, ["AllBlocksCleared"], ["BlockRemoved", [""]], ["x"]]]
  payloads.push_back(
      "\x92\x01\x94\x05\x91\xb0"
      "AllBlocksCleared\x92\xac"
      "BlockRemoved\x91\xa0\x91\xa1x");
  payloads.push_back("\x93");
  EventDecoder decoder;
  EventBatch batch;
  const auto decode_all = [&] {
    size_t events = 0;
    for (const std::string& payload : payloads) {
      (void)decoder.Decode(BytesOf(payload), &batch);
      events += batch.events.size() + batch.bad + batch.unknown;
    }
    return events;
  };
  const size_t events = decode_all();
  const uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) ASSERT_EQ(decode_all(), events);
  EXPECT_EQ(allocations - before, 0u);
  EXPECT_EQ(events, 4 * full.batch().events.size() + 4);
}

TEST(EventDecoder, IsWholeAfterItMoved) {
  const FullEvents full;
  std::string payload;
  EncodeEventBatch(full.batch(), {}, &payload);
  EventDecoder first;
  EventBatch batch;
  ASSERT_TRUE(first.Decode(BytesOf(payload), &batch));
  EventDecoder second = std::move(first);
  EXPECT_TRUE(SameBatch(batch, full.batch(), {})) << "what was decoded lives on";
  ASSERT_TRUE(second.Decode(BytesOf(payload), &batch));
  EXPECT_TRUE(SameBatch(batch, full.batch(), {}));
}

}  // namespace
}  // namespace headrace::wire
