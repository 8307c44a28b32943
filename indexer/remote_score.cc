#include "indexer/remote_score.h"

#include <algorithm>
#include <set>

namespace headrace::indexer {
namespace {

// The best weight of each pod in one run of keys.
std::map<std::string_view, double> BestOf(const HolderRun& run, const RemoteWeights& weights) {
  std::map<std::string_view, double> best;
  for (const RemoteHolder& holder : run.holders) {
    double& weight = best.try_emplace(holder.pod, 0.0).first->second;
    weight = std::max(weight, weights.Of(holder.tier));
  }
  return best;
}

}  // namespace

double RemoteWeights::Of(std::string_view tier) const {
  auto found = tiers.find(tier);
  return found == tiers.end() ? unknown : found->second;
}

double RemoteWeights::highest() const {
  double highest = unknown;
  for (const auto& [tier, weight] : tiers) highest = std::max(highest, weight);
  return highest;
}

std::vector<RemoteScore> ScoreRuns(const std::vector<HolderRun>& runs,
                                   const RemoteScoreRequest& request,
                                   const RemoteWeights& weights) {
  const std::set<std::string_view> wanted(request.pods.begin(), request.pods.end());
  std::map<std::string_view, RemoteScore> scores;
  std::set<std::string_view> active;  // held every key up to here
  bool first = true;
  for (const HolderRun& run : runs) {
    const auto best = BestOf(run, weights);
    std::erase_if(active, [&best](std::string_view pod) { return !best.contains(pod); });
    for (const auto& [pod, weight] : best) {
      if (first && (!request.filter || wanted.contains(pod))) active.insert(pod);
      if (!active.contains(pod)) continue;
      RemoteScore& score = scores[pod];
      score.score += weight * run.keys;
      score.blocks += run.keys;
    }
    first = false;
    if (active.empty()) break;
  }
  std::vector<RemoteScore> result;
  const double most = weights.highest() * static_cast<double>(request.keys.size());
  for (auto& [pod, score] : scores) {
    score.pod = pod;
    score.normalized = most > 0 ? score.score / most : 0;
    result.push_back(std::move(score));
  }
  return result;
}

}  // namespace headrace::indexer
