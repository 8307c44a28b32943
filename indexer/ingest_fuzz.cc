// Batches from anywhere go into the index of one pod: whatever they say, they end, and a clear
// leaves nothing.
#include <cstdint>
#include <memory>

#include "indexer/ingest.h"
#include "indexer/memory_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;           // NOLINT(google-build-using-namespace)
  using namespace headrace::indexer;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const uint32_t block_tokens = 1u << (data[0] % 6);
  auto index = std::move(*MemoryIndex::Create({}));
  PodTable pods(index.get());
  TierTable tiers;
  auto keys = std::move(*IngestKeys::Create(
      {.algo = wire::HashAlgo::kXxh64, .seed = "", .block_tokens = block_tokens}));
  const ShardMap map = *ShardMap::Create({.replicas = {"a", "b"}, .first_blocks = 2});
  ShardShare share(&map, 0, {.stems = 64, .foreign = 64});
  Digest digest(
      {index.get(), &pods, keys.get(), &tiers, nullptr, data[0] < 128 ? nullptr : &share},
      {.pending = {.max_waiters = 64, .max_bytes = 1u << 16}, .max_tails = 64, .remembered = 256});
  auto feed = std::move(*digest.Open("a", "m"));
  wire::EventDecoder decoder;
  wire::EventBatch batch;
  // The same twice: what it teaches may meet itself.
  for (int i = 0; i < 2; ++i) {
    if (!decoder.Decode({data + 1, size - 1}, &batch)) return 0;
    (void)digest.Apply(&feed, batch, Time(seconds(i)));
  }
  HR_CHECK(digest.pending() <= 64 && digest.tails() <= 64);
  digest.NewEpoch(&feed);
  while (index->Sweep(1000)) {
  }
  HR_CHECK(index->stats().blocks == 0);
  return 0;
}
