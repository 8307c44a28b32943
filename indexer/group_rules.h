// Pods whose model has several KV groups, or one that does not need every block: which prefixes
// count for them, and how much. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "indexer/holder_sets.h"
#include "indexer/scorer.h"
#include "indexer/served_pods.h"

namespace headrace::indexer {

// Blocks with the same holders, from this one on to the next run.
struct SetRun {
  uint32_t start;
  SetId set;
};

class GroupRules {
 public:
  // What a score saw.
  struct Walk {
    const MemoryIndex* index;
    const TierTable* tiers;
    std::span<const SetRun> runs;
    uint32_t key_tokens;
  };

  // `served` outlives it.
  explicit GroupRules(const ServedPods* served) : served_(served) {}

  void Set(PodId pod, std::span<const GroupSpec> specs);

  bool any() const { return several_ > 0; }
  bool Several(PodId pod) const { return pod < pods_.size() && !pods_[pod].empty(); }
  // Pods among them that have no group which needs every block.
  bool any_windowed() const { return !windowed_.empty(); }
  const std::vector<PodId>& windowed() const { return windowed_; }

  // Of a block with these holders, in the groups that need every block: the lowest of each one's
  // best weight. Negative when one of them lacks it, or when there is no such group.
  double FullWeight(const MemoryIndex& index, const TierTable& tiers, PodId pod, SetId set) const;

  // The longest prefix of at most `limit` blocks at which every group has what it needs.
  PodScore Score(const Walk& walk, PodId pod, uint32_t limit) const;

 private:
  double GroupWeight(const Walk& walk, PodId pod, int16_t group, SetId set) const;
  static double OwnWeight(const Walk& walk, PodId pod, int16_t group, SetId set);
  bool HasFull(PodId pod) const;
  uint32_t LongestLength(const Walk& walk, PodId pod, uint32_t limit) const;
  double Sum(const Walk& walk, PodId pod, uint32_t length) const;
  double Lowest(const Walk& walk, PodId pod, uint32_t length) const;

  const ServedPods* const served_;
  std::vector<std::vector<GroupSpec>> pods_;  // empty: one group that needs every block
  std::vector<PodId> windowed_;
  size_t several_ = 0;
  mutable std::vector<uint32_t> gap_ends_;  // scratch: behind the last block that each group lacks
};

}  // namespace headrace::indexer
