#include "indexer/group_rules.h"

#include <algorithm>
#include <cmath>

#include "indexer/memory_index.h"

namespace headrace::indexer {
namespace {

constexpr double kAbsent = -1;

// How many blocks at its end a prefix needs.
uint32_t Needed(const GroupSpec& spec, uint32_t length, uint32_t key_tokens) {
  if (spec.rule == GroupRule::kFull) return length;
  if (spec.rule == GroupRule::kState) return std::min(length, 1u);
  HR_CHECK(key_tokens > 0);
  const uint64_t before = spec.window_tokens > 0 ? spec.window_tokens - 1 : 0;
  return static_cast<uint32_t>(std::min<uint64_t>(length, (before + key_tokens - 1) / key_tokens));
}

uint32_t EndOf(std::span<const SetRun> runs, size_t run, uint32_t limit) {
  return run + 1 < runs.size() ? std::min(runs[run + 1].start, limit) : limit;
}

}  // namespace

void GroupRules::Set(PodId pod, std::span<const GroupSpec> specs) {
  if (pod >= pods_.size()) pods_.resize(pod + size_t{1});
  const bool plain = specs.empty() || (specs.size() == 1 && specs[0].rule == GroupRule::kFull);
  several_ -= pods_[pod].empty() ? 0 : 1;
  std::erase(windowed_, pod);
  pods_[pod].clear();
  if (plain) return;
  pods_[pod].assign(specs.begin(), specs.end());
  ++several_;
  if (!HasFull(pod)) windowed_.push_back(pod);
}

bool GroupRules::HasFull(PodId pod) const {
  return std::any_of(pods_[pod].begin(), pods_[pod].end(),
                     [](const GroupSpec& spec) { return spec.rule == GroupRule::kFull; });
}

double GroupRules::GroupWeight(const Walk& walk, PodId pod, int16_t group, SetId set) const {
  double best = OwnWeight(walk, pod, group, set);
  for (const PodId node : served_->NodesOf(pod)) {
    best = std::max(best, OwnWeight(walk, node, group, set));
  }
  return best;
}

double GroupRules::OwnWeight(const Walk& walk, PodId pod, int16_t group, SetId set) {
  double best = kAbsent;
  for (const HolderId holder : walk.index->holders().OfPod(pod)) {
    const HolderInfo& info = walk.index->holders().info(holder);
    if (info.group != -1 && info.group != group) continue;
    const double weight = walk.tiers->weight(info.tier);
    if (weight > best && walk.index->sets().Contains(set, holder)) best = weight;
  }
  return best;
}

double GroupRules::FullWeight(const MemoryIndex& index, const TierTable& tiers, PodId pod,
                              SetId set) const {
  double lowest = HUGE_VAL;
  for (const GroupSpec& spec : pods_[pod]) {
    if (spec.rule != GroupRule::kFull) continue;
    lowest = std::min(lowest, GroupWeight({&index, &tiers, {}, 1}, pod, spec.group, set));
  }
  return std::isfinite(lowest) ? lowest : kAbsent;
}

// Inside a run of blocks with the same holders a longer prefix is never worse than a shorter one:
// only the ends of runs need to be tried. REQUIRES: all full groups have the first `limit` blocks.
uint32_t GroupRules::LongestLength(const Walk& walk, PodId pod, uint32_t limit) const {
  const std::vector<GroupSpec>& specs = pods_[pod];
  gap_ends_.assign(specs.size(), 0);
  uint32_t longest = 0;
  for (size_t run = 0; run < walk.runs.size() && walk.runs[run].start < limit; ++run) {
    const uint32_t end = EndOf(walk.runs, run, limit);
    bool whole = true;
    for (size_t s = 0; s < specs.size(); ++s) {
      if (specs[s].rule == GroupRule::kFull) continue;
      if (GroupWeight(walk, pod, specs[s].group, walk.runs[run].set) < 0) gap_ends_[s] = end;
      const uint32_t needed = Needed(specs[s], end, walk.key_tokens);
      whole = whole && end - gap_ends_[s] >= needed;
    }
    if (whole) longest = end;
  }
  return longest;
}

double GroupRules::Sum(const Walk& walk, PodId pod, uint32_t length) const {
  double sum = 0;
  for (size_t run = 0; run < walk.runs.size() && walk.runs[run].start < length; ++run) {
    const uint32_t blocks = EndOf(walk.runs, run, length) - walk.runs[run].start;
    sum += FullWeight(*walk.index, *walk.tiers, pod, walk.runs[run].set) * blocks;
  }
  return sum;
}

double GroupRules::Lowest(const Walk& walk, PodId pod, uint32_t length) const {
  double lowest = HUGE_VAL;
  for (const GroupSpec& spec : pods_[pod]) {
    const uint32_t first = length - Needed(spec, length, walk.key_tokens);
    for (size_t run = 0; run < walk.runs.size() && walk.runs[run].start < length; ++run) {
      if (EndOf(walk.runs, run, length) <= first) continue;
      lowest = std::min(lowest, GroupWeight(walk, pod, spec.group, walk.runs[run].set));
    }
  }
  return lowest;
}

PodScore GroupRules::Score(const Walk& walk, PodId pod, uint32_t limit) const {
  const uint32_t length = LongestLength(walk, pod, limit);
  if (length == 0) return {};
  if (HasFull(pod)) return {pod, Sum(walk, pod, length), 0, length};
  // Nobody keeps what no group needs: those blocks count as the farthest of the ones that are kept.
  const double lowest = Lowest(walk, pod, length);
  if (!std::isfinite(lowest)) return {};
  return {pod, lowest * length, 0, length};
}

}  // namespace headrace::indexer
