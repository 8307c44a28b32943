// Which pods hold how much of a prompt, and how near: the longest prefix that a pod holds without a
// gap, each block weighted by the best tier that it has it in. Fused with the lookup: blocks with
// the holders of the block before cost nothing but their lookup. docs/index.md has the rules.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "indexer/index.h"
#include "indexer/tiers.h"

namespace headrace::indexer {

class MemoryIndex;
struct SetRun;

enum class Strategy : uint8_t { kLongestPrefix };

struct PodScore {
  PodId pod = kNoPod;
  double score = 0;       // sum of weights over the prefix
  double normalized = 0;  // score / (blocks asked * the highest weight), 0 to 1
  uint32_t blocks = 0;    // length of the prefix, at least 1
};

struct ScoreRequest {
  std::span<const RequestKey> keys;
  std::span<const PodId> pods;  // only these, when `filter`; sorted not needed
  bool filter = false;
  uint32_t key_tokens = 16;  // tokens of one key, for windows
};

// How a pod's KV groups count: of no interest for pods with one group. A prefix counts when each
// group has what it needs of it.
enum class GroupRule : uint8_t {
  kFull,    // all blocks
  kWindow,  // the last ceil((window_tokens - 1) / key_tokens)
  kState,   // the last one
};
struct GroupSpec {
  int16_t group = 0;
  GroupRule rule = GroupRule::kFull;
  uint32_t window_tokens = 0;  // kWindow

  friend bool operator==(const GroupSpec&, const GroupSpec&) = default;
};

// Owns its scratch memory, nothing of the index: allocates only when pods or holders are more than
// ever before. The index's thread; index and tiers outlive it.
class Scorer {
 public:
  Scorer(MemoryIndex* index, const TierTable* tiers);
  ~Scorer();
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  // The groups of a pod's model; empty: one group, every copy counts.
  void SetGroups(PodId pod, std::span<const GroupSpec> groups);
  // What `node` holds counts for these pods as if they held it themselves: a prefix may go on from
  // their own blocks to the node's and back, and of two copies the better one counts. Replaces the
  // node's list. Its own score stays.
  void SetServed(PodId node, std::span<const PodId> pods);

  // Every pod that holds the first block (of the filter's, if any): the highest score first, then
  // the lowest number.
  void Score(const ScoreRequest& request, std::vector<PodScore>* scores);
  // The same where the holders of the keys are known from elsewhere, as sets of this index in runs
  // from the first key on; nobody holds those behind the last run when its set is the empty one.
  void ScoreRuns(const ScoreRequest& request, std::span<const SetRun> runs,
                 std::vector<PodScore>* scores);

 private:
  struct State;
  void Finish(const ScoreRequest& request, uint32_t blocks, std::vector<PodScore>* scores);

  State* state_;
};

}  // namespace headrace::indexer
