#include "indexer/remote_score.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "indexer/group_rules.h"
#include "indexer/remote_names.h"

namespace headrace::indexer {

// The pods, holders and sets of one answer, whose names outlive it.
class RemoteScorer::Question {
 public:
  Question(MemoryIndex* index, TierTable* tiers) : index_(index), tiers_(tiers) {}
  ~Question() {
    for (const SetRun& run : runs_) index_->sets().Unref(run.set);
    for (const HolderId holder : holders_) index_->EndHolder(holder);
    while (index_->Sweep(64)) {
    }
  }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  PodId Pod(std::string_view name) {
    const auto [place, added] = pods_.emplace(name, static_cast<PodId>(names_.size()));
    if (added) names_.push_back(name);
    return place->second;
  }
  const std::vector<std::string_view>& names() const { return names_; }
  const std::vector<SetRun>& runs() const { return runs_; }

  void Read(const std::vector<HolderRun>& runs, size_t keys) {
    uint32_t start = 0;
    for (const HolderRun& run : runs) {
      if (start >= keys) return;
      Begin(start, run.holders);
      start += run.keys;
    }
    if (start < keys) Begin(start, {});
  }

  void Apply(const RemoteRulesByPod& rules, Scorer* scorer) {
    const std::vector<std::string_view> holding = names_;
    for (const std::string_view node : holding) {
      const auto found = rules.find(node);
      if (found == rules.end() || found->second.serves.empty()) continue;
      scorer->SetServed(Pod(node), Served(found->second));
    }
    for (PodId pod = 0; pod < names_.size(); ++pod) {
      const auto found = rules.find(names_[pod]);
      if (found != rules.end()) scorer->SetGroups(pod, found->second.groups);
    }
  }

 private:
  HolderId Number(const RemoteHolder& holder) {
    const HolderInfo info{Pod(holder.pod), tiers_->Intern(holder.tier), holder.group,
                          holder.speculative};
    return index_->AddHolder(info);
  }

  // Those of the pods of a node's list, and of their members in its name space, that have a part in
  // the answer; a pod that holds nothing itself comes in by the list.
  std::vector<PodId> Served(const RemoteRules& rules) {
    std::vector<PodId> served;
    served.reserve(rules.serves.size());
    for (const std::string& pod : rules.serves) served.push_back(Pod(pod));
    for (PodId pod = 0; pod < names_.size(); ++pod) {
      if (NameSpaceOfMember(names_[pod]) != rules.serve_space) continue;
      const auto& listed = rules.serves;
      if (std::find(listed.begin(), listed.end(), PodOfMember(names_[pod])) != listed.end()) {
        served.push_back(pod);
      }
    }
    return served;
  }

  // From the run before by what comes and what goes: mostly that is little.
  void Begin(uint32_t start, const std::vector<RemoteHolder>& holders) {
    std::vector<HolderId> numbers;
    numbers.reserve(holders.size());
    for (const RemoteHolder& holder : holders) {
      numbers.push_back(Number(holder));
      holders_.insert(numbers.back());
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    SetId set = runs_.empty() ? kEmptySet : runs_.back().set;
    HolderSets& sets = index_->sets();
    sets.Ref(set);
    const auto move = [&](SetId to) {
      sets.Ref(to);
      sets.Unref(std::exchange(set, to));
    };
    std::vector<HolderId> changed;
    std::set_difference(last_.begin(), last_.end(), numbers.begin(), numbers.end(),
                        std::back_inserter(changed));
    for (const HolderId gone : changed) move(sets.Without(set, gone));
    changed.clear();
    std::set_difference(numbers.begin(), numbers.end(), last_.begin(), last_.end(),
                        std::back_inserter(changed));
    for (const HolderId come : changed) move(sets.With(set, come));
    runs_.push_back({start, set});
    last_ = std::move(numbers);
  }

  MemoryIndex* const index_;
  TierTable* const tiers_;
  std::map<std::string_view, PodId> pods_;
  std::vector<std::string_view> names_;
  std::set<HolderId> holders_;
  std::vector<HolderId> last_;  // of the last run
  std::vector<SetRun> runs_;
};

RemoteScorer::RemoteScorer(const TierTable& tiers, uint64_t seed)
    : tiers_(tiers), index_(std::move(*MemoryIndex::Create({.seed = seed}))) {}

std::vector<RemoteScore> RemoteScorer::Score(const std::vector<HolderRun>& runs,
                                             const RemoteScoreRequest& request,
                                             const RemoteRulesByPod& rules) {
  Question question(index_.get(), &tiers_);
  question.Read(runs, request.keys.size());
  Scorer scorer(index_.get(), &tiers_);
  question.Apply(rules, &scorer);

  std::vector<PodId> only;
  only.reserve(request.pods.size());
  for (const std::string& pod : request.pods) only.push_back(question.Pod(pod));
  std::vector<PodScore> scores;
  scorer.ScoreRuns({.keys = request.keys,
                    .pods = only,
                    .filter = request.filter,
                    .key_tokens = request.key_tokens},
                   question.runs(), &scores);
  std::vector<RemoteScore> named;
  named.reserve(scores.size());
  for (const PodScore& score : scores) {
    named.push_back(
        {std::string(question.names()[score.pod]), score.score, score.normalized, score.blocks});
  }
  return named;
}

}  // namespace headrace::indexer
