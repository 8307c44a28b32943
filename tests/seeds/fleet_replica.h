// One index replica of a simulated fleet: all that the shipped one has, without sockets. One
// thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "indexer/ingest_rig.h"
#include "indexer/memory_index.h"
#include "indexer/scorer.h"

namespace headrace::seeds {

class FleetReplica {
 public:
  using Scores = std::map<std::string, double>;

  // `map` and the publishers outlive it. It knows nothing, and asks every publisher for all.
  FleetReplica(const indexer::ShardMap* map, size_t self,
               const std::vector<std::unique_ptr<indexer::Publisher>>& publishers, Time now);

  indexer::Link& link(size_t publisher) { return *links_.at(publisher); }
  void Step(Time now, Random* random, indexer::Faults* faults);
  bool quiet() const;

  std::vector<indexer::RequestKey> KeysOf(uint32_t chain, uint32_t blocks);
  Scores Score(const std::vector<indexer::RequestKey>& keys);
  size_t Holders(indexer::RequestKey key) const { return index_->Holders(key).size(); }

  indexer::FollowCounters counters() const;
  uint64_t foreign_blocks() const { return share_.foreign_blocks(); }

 private:
  std::unique_ptr<indexer::MemoryIndex> index_;
  indexer::PodTable pods_;
  indexer::TierTable tiers_;
  std::unique_ptr<indexer::IngestKeys> keys_;
  indexer::ShardShare share_;
  indexer::Digest digest_;
  indexer::Scorer scorer_;
  std::vector<std::unique_ptr<indexer::Link>> links_;
};

}  // namespace headrace::seeds
