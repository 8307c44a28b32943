// What a remote index answers, scored as an index in memory is: by the same scorer, over the sets
// of holders that were read. One thread.
#pragma once

#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "indexer/memory_index.h"
#include "indexer/redis_reader.h"
#include "indexer/remote_index.h"
#include "indexer/tiers.h"

namespace headrace::indexer {

class RemoteScorer {
 public:
  // `seed`: a secret of this process, for its tables.
  RemoteScorer(const TierTable& tiers, uint64_t seed);

  // Best first. `rules` of pods that have no part in the answer are not looked at.
  std::vector<RemoteScore> Score(const std::vector<HolderRun>& runs,
                                 const RemoteScoreRequest& request, const RemoteRulesByPod& rules);

 private:
  class Question;

  TierTable tiers_;
  const std::unique_ptr<MemoryIndex> index_;  // of holders and sets; it has no blocks
};

}  // namespace headrace::indexer
