// Whatever a replica answers, it is read or refused, and what was read can be written again.
#include <cmath>

#include "indexer/score_text.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)indexer::ErrorText(text);
  if (const auto others = indexer::ParseOtherReplicas(text)) HR_CHECK(!others->empty());
  if (const auto list = indexer::ParseReplicaList(text)) HR_CHECK(list->hash.block_tokens > 0);
  const auto answer = indexer::ParseScoreAnswer(text);
  if (!answer) return 0;
  const auto again = indexer::ParseScoreAnswer(indexer::ScoreBody(*answer));
  HR_CHECK(again && again->pods.size() == answer->pods.size());
  const std::vector<indexer::ScoreAnswer> both{*answer, *again};
  HR_CHECK(indexer::MergeScores(both).pods.size() <= answer->pods.size());
  return 0;
}
