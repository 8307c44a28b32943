// An index as a fleet fills it: chains of 64 blocks, each held by a few pods out of 512, stored
// event by event of 16 blocks. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "indexer/memory_index.h"
#include "indexer/scorer.h"
#include "wire/event.h"

namespace headrace::bench {

inline constexpr uint32_t kIndexPods = 512;
inline constexpr size_t kEventBlocks = 16;
inline constexpr size_t kChainBlocks = 64;

// How the benchmarks of the index run.
struct IndexOptions {
  bool quick = false;  // small: every name, and figures that mean nothing
  // Microseconds that Dynamo's tree took beside this, 0: it did not run.
  double peer_score8 = 0, peer_score64 = 0, peer_score512 = 0, peer_ingest16 = 0;

  uint64_t blocks() const { return quick ? 100'000 : 10'000'000; }
};

double CpuMicros();        // of this thread
uint64_t ResidentBytes();  // of this process

// Takes every line that the index had out of the caches.
class ColdCaches {
 public:
  ColdCaches() : bytes_(96u << 20) {}
  void Empty();

 private:
  std::vector<uint8_t> bytes_;
  uint8_t turn_ = 0;
};

class IndexWorld {
 public:
  explicit IndexWorld(uint64_t seed);

  indexer::MemoryIndex& index() { return *index_; }
  const indexer::TierTable& tiers() const { return tiers_; }
  indexer::HolderId holder(uint32_t pod) const { return holders_.at(pod); }
  Random& random() { return random_; }

  static indexer::EngineKey EngineKeyOf(indexer::RequestKey key) { return MixBits(key + 99); }
  std::vector<indexer::RequestKey> RandomKeys(size_t count);
  // `count` pods out of 512, in no order.
  std::vector<uint32_t> RandomPods(size_t count);

  // The pod stores these blocks, 16 an event.
  void Store(uint32_t pod, std::span<const indexer::RequestKey> keys);
  // Chains of new blocks until the index holds `blocks`; each chain has `holders` pods on average,
  // from 1 to twice that less one. Events of many chains come mixed.
  void Fill(uint64_t blocks, uint32_t holders);
  // Takes half of the blocks away, one by one in random order and at every holder, and adds new
  // chains until there are as many again.
  void Churn(uint32_t holders);

  uint64_t copies() const { return copies_; }  // blocks, each as often as it is held

 private:
  struct Event {
    uint32_t pod;
    const indexer::RequestKey* keys;
  };
  void StoreGroup(size_t chains, uint32_t holders);

  Random random_;
  std::unique_ptr<indexer::MemoryIndex> index_;
  indexer::TierTable tiers_;
  std::vector<indexer::HolderId> holders_;
  uint64_t copies_ = 0;
};

// What an engine tells of 16 new blocks, as the payload of a message.
struct Stored {
  std::optional<uint64_t> parent;
  std::span<const uint64_t> hashes;
  std::span<const uint32_t> tokens;
};
void EncodeStored(const Stored& stored, const wire::EventForm& form, std::string* payload);

// In a process of its own, so that what it takes from the machine can be told: `run` leaves at most
// `count` numbers.
std::vector<double> InChild(size_t count, const std::function<std::vector<double>()>& run);

}  // namespace headrace::bench
