// llm-d's rule over what a remote index answers: the longest prefix that a pod holds without a gap,
// each block weighted by the best tier that it has it in. Pure; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "indexer/redis_reader.h"
#include "indexer/remote_index.h"

namespace headrace::indexer {

struct RemoteWeights {
  std::map<std::string, double, std::less<>> tiers = {
      {"gpu", 1.0},   {"cpu", 0.8}, {"disk", 0.5}, {"storage", 0.5}, {"shared_storage", 0.5},
      {"remote", 0.4}};
  double unknown = 0.39;  // a little below the lowest

  double Of(std::string_view tier) const;
  double highest() const;
};

// In the order of pods' names. Groups and speculative entries count as hits.
std::vector<RemoteScore> ScoreRuns(const std::vector<HolderRun>& runs,
                                   const RemoteScoreRequest& request, const RemoteWeights& weights);

}  // namespace headrace::indexer
