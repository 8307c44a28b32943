#include "indexer/scorer.h"

#include <algorithm>
#include <array>

#include "indexer/group_rules.h"
#include "indexer/memory_index.h"
#include "indexer/served_pods.h"

namespace headrace::indexer {
namespace {

constexpr double kAbsent = -1;  // no weight is negative
constexpr size_t kSteps = 7;    // of a lookup, with the look at its holders

bool Before(const PodScore& a, const PodScore& b) {
  return a.score != b.score ? a.score > b.score : a.pod < b.pod;
}

}  // namespace

struct Scorer::State {
  // A pod on its way through the prompt. A score is settled when the weight changes or the pod
  // leaves, so blocks on which nothing changes cost nothing.
  struct Pod {
    uint32_t round = 0;    // of the score in which the rest was set
    uint32_t allowed = 0;  // round in which the filter named it
    uint32_t since = 0;    // first block of the current weight
    bool active = false;
    double weight = 0;
    double sum = 0;  // of the blocks before `since`
  };
  static_assert(sizeof(Pod) == 32);
  struct Left {
    PodId pod;
    uint32_t blocks;
  };

  State(MemoryIndex* of, const TierTable* by) : index(of), tiers(by) {}

  MemoryIndex* const index;
  const TierTable* const tiers;
  ServedPods served;
  GroupRules groups{&served};

  uint32_t round = 0;
  bool filter = false;
  std::vector<Pod> pods;
  std::vector<PodId> active;  // in the order in which they came; some have left since
  std::vector<Left> left;     // in the order in which they left
  size_t active_count = 0;
  std::vector<SetRun> runs;  // only where some pod has several groups
  std::array<MemoryIndex::Lookup, kSteps> lookups;

  void Begin(const ScoreRequest& request);
  size_t Walk(const ScoreRequest& request);
  uint32_t Guess(size_t part) const;
  size_t Evaluate(const MemoryIndex::Lookup& lookup, size_t start, SetId* current);
  // From a block with the holders `current` to one with those of `set`; false: nobody is left.
  bool Step(uint32_t block, SetId set, SetId* current);
  void Start(SetId set);
  void Enter(PodId pod, const HolderInfo& by, SetId set);
  void Change(SetId from, SetId to, uint32_t block);
  void Reweigh(PodId pod, SetId set, uint32_t block);
  void Leave(Pod* pod, PodId id, uint32_t block);
  double Weight(PodId pod, SetId set) const;
  double OwnWeight(PodId pod, SetId set) const;
  void Settle(Pod* pod, uint32_t block) const {
    pod->sum += pod->weight * static_cast<double>(block - pod->since);
    pod->since = block;
  }
  bool MayCount(PodId pod) const { return !filter || pods[pod].allowed == round; }
  void Gather(uint32_t blocks, const ScoreRequest& request, std::vector<PodScore>* scores);
  void GatherWindowed(const ScoreRequest& request, uint32_t blocks, std::vector<PodScore>* scores);
};

Scorer::Scorer(MemoryIndex* index, const TierTable* tiers) : state_(new State(index, tiers)) {}

Scorer::~Scorer() {
  delete state_;
}

void Scorer::SetGroups(PodId pod, std::span<const GroupSpec> groups) {
  state_->groups.Set(pod, groups);
}

void Scorer::SetServed(PodId node, std::span<const PodId> pods) {
  state_->served.Set(node, pods);
}

void Scorer::Score(const ScoreRequest& request, std::vector<PodScore>* scores) {
  State& s = *state_;
  scores->clear();
  if (request.keys.empty()) return;
  s.Begin(request);
  Finish(request, static_cast<uint32_t>(s.Walk(request)), scores);
}

void Scorer::ScoreRuns(const ScoreRequest& request, std::span<const SetRun> runs,
                       std::vector<PodScore>* scores) {
  State& s = *state_;
  scores->clear();
  if (request.keys.empty()) return;
  s.Begin(request);
  auto blocks = static_cast<uint32_t>(request.keys.size());
  SetId current = kEmptySet;
  for (const SetRun& run : runs) {
    if (s.Step(run.start, run.set, &current)) continue;
    blocks = run.start;
    break;
  }
  Finish(request, blocks, scores);
}

void Scorer::Finish(const ScoreRequest& request, uint32_t blocks, std::vector<PodScore>* scores) {
  State& s = *state_;
  s.Gather(blocks, request, scores);
  if (s.groups.any_windowed()) s.GatherWindowed(request, blocks, scores);
  const double most = static_cast<double>(request.keys.size()) * s.tiers->highest();
  for (PodScore& score : *scores) score.normalized = most > 0 ? score.score / most : 0;
  // Mostly they come in order: the last to leave first, pods of one block by their numbers.
  if (!std::is_sorted(scores->begin(), scores->end(), Before)) {
    std::sort(scores->begin(), scores->end(), Before);
  }
}

void Scorer::State::Begin(const ScoreRequest& request) {
  if (++round == 0) {
    pods.assign(pods.size(), Pod());
    round = 1;
  }
  filter = request.filter;
  // Pods may hold nothing and be served.
  const size_t known = std::max(index->holders().pods(), served.pods());
  if (pods.size() < known) pods.resize(known);
  if (filter) {
    for (const PodId pod : request.pods) {
      if (pod < known) pods[pod].allowed = round;
    }
  }
  active.clear();
  left.clear();
  runs.clear();
  active_count = 0;
}

// Seven parts of the prompt are under way, each a step behind the one after it. Returns how many
// blocks were looked at.
size_t Scorer::State::Walk(const ScoreRequest& request) {
  constexpr size_t kPart = MemoryIndex::kLookupKeys;
  const size_t parts = (request.keys.size() + kPart - 1) / kPart;
  const auto at = [&](size_t part) { return &lookups[part % kSteps]; };
  SetId current = kEmptySet;
  for (size_t turn = 0; turn < parts + kSteps - 1; ++turn) {
    const auto due = [&](size_t step) { return turn >= step && turn - step < parts; };
    if (due(6)) {
      const size_t first = (turn - 6) * kPart;
      const size_t seen = Evaluate(*at(turn - 6), first, &current);
      if (seen < at(turn - 6)->keys.size()) return first + seen;
    }
    if (due(5)) index->LookupHolders(at(turn - 5));
    if (due(4)) index->LookupSets(at(turn - 4));
    if (due(3)) index->LookupSlots(at(turn - 3));
    if (due(2)) index->LookupBuckets(at(turn - 2));
    if (due(1)) index->LookupHashes(at(turn - 1));
    if (!due(0)) continue;
    const size_t first = turn * kPart;
    at(turn)->keys = request.keys.subspan(first, std::min(kPart, request.keys.size() - first));
    index->LookupGuess(at(turn), Guess(turn));
  }
  return request.keys.size();
}

// Where a part begins if the blocks go on as those of a part before it whose place is known: of the
// last one, when it was where it was guessed, else of the one that the table has just found.
uint32_t Scorer::State::Guess(size_t part) const {
  constexpr size_t kFound = 4;  // steps
  if (part == 0) return MemoryIndex::kNoGuess;
  const MemoryIndex::Lookup& last = lookups[(part - 1) % kSteps];
  if (last.missing == 0) return last.Following(1);
  if (part < kFound) return MemoryIndex::kNoGuess;
  constexpr uint32_t kBetween = (kFound - 1) * MemoryIndex::kLookupKeys;
  return lookups[(part - kFound) % kSteps].Following(kBetween + 1);
}

// Returns where nobody was left, or the count.
size_t Scorer::State::Evaluate(const MemoryIndex::Lookup& lookup, size_t start, SetId* current) {
  for (size_t i = 0; i < lookup.keys.size(); ++i) {
    if (!Step(static_cast<uint32_t>(start + i), lookup.sets[i], current)) return i;
  }
  return lookup.keys.size();
}

inline bool Scorer::State::Step(uint32_t block, SetId set, SetId* current) {
  if (block == 0) {
    Start(set);
  } else if (set != *current) {
    Change(*current, set, block);
  }
  if (groups.any() && (block == 0 || set != *current)) runs.push_back({block, set});
  *current = set;
  return active_count > 0 || groups.any_windowed();
}

// Of the first block.
void Scorer::State::Start(SetId set) {
  const HolderTable& holders = index->holders();
  index->sets().ForEach(set, [&](HolderId holder) {
    if (!holders.Lives(holder)) return;
    const HolderInfo& info = holders.info(holder);
    Enter(info.pod, info, set);
    if (!served.any()) return;
    for (const PodId pod : served.Of(info.pod)) Enter(pod, info, set);
  });
}

void Scorer::State::Enter(PodId id, const HolderInfo& by, SetId set) {
  Pod& pod = pods[id];
  if (filter && pod.allowed != round) return;
  const bool plain = !groups.Several(id);
  if (pod.round == round) {  // by another copy
    if (plain) pod.weight = std::max(pod.weight, tiers->weight(by.tier));
    return;
  }
  const double weight = plain ? tiers->weight(by.tier) : Weight(id, set);
  pod.round = round;
  pod.active = weight >= 0;
  pod.since = 0;
  pod.weight = weight;
  pod.sum = 0;
  if (!pod.active) return;
  active.push_back(id);
  ++active_count;
}

void Scorer::State::Change(SetId from, SetId to, uint32_t block) {
  const HolderTable& holders = index->holders();
  const bool plain = !served.any() && !groups.any();
  index->sets().ForEachDifference(from, to, [&](HolderId holder) {
    if (!holders.Lives(holder)) return;
    const PodId id = holders.info(holder).pod;
    if (plain && holders.Alone(holder)) {  // a pod that counts until here does so by this one
      Pod& owner = pods[id];
      if (owner.round == round && owner.active) Leave(&owner, id, block);
      return;
    }
    Reweigh(id, to, block);
    if (!served.any()) return;
    for (const PodId pod : served.Of(id)) Reweigh(pod, to, block);
  });
}

void Scorer::State::Reweigh(PodId id, SetId set, uint32_t block) {
  Pod& pod = pods[id];
  if (pod.round != round || !pod.active) return;
  const double weight = Weight(id, set);
  if (weight == pod.weight) return;
  if (weight < 0) {
    Leave(&pod, id, block);
    return;
  }
  Settle(&pod, block);
  pod.weight = weight;
}

void Scorer::State::Leave(Pod* pod, PodId id, uint32_t block) {
  Settle(pod, block);
  pod->weight = kAbsent;
  pod->active = false;
  --active_count;
  left.push_back({id, block});
}

// Of a block with these holders: the best tier, of the worst full group where there are several.
double Scorer::State::Weight(PodId pod, SetId set) const {
  if (groups.Several(pod)) return groups.FullWeight(*index, *tiers, pod, set);
  double best = OwnWeight(pod, set);
  if (!served.any()) return best;
  for (const PodId node : served.NodesOf(pod)) best = std::max(best, OwnWeight(node, set));
  return best;
}

double Scorer::State::OwnWeight(PodId pod, SetId set) const {
  double best = kAbsent;
  for (const HolderId holder : index->holders().OfPod(pod)) {
    const double weight = tiers->weight(index->holders().info(holder).tier);
    if (weight > best && index->sets().Contains(set, holder)) best = weight;
  }
  return best;
}

void Scorer::State::Gather(uint32_t blocks, const ScoreRequest& request,
                           std::vector<PodScore>* scores) {
  const auto add = [&](PodId pod, uint32_t length) {
    if (groups.Several(pod)) {
      const PodScore score = groups.Score({index, tiers, runs, request.key_tokens}, pod, length);
      if (score.blocks > 0) scores->push_back(score);
    } else {
      scores->push_back({pod, pods[pod].sum, 0, length});
    }
  };
  for (const PodId id : active) {
    if (!pods[id].active) continue;
    Settle(&pods[id], blocks);
    add(id, blocks);
  }
  // Those that left at one block came in order: the last block first, each of them in order.
  for (size_t end = left.size(); end > 0;) {
    size_t start = end - 1;
    while (start > 0 && left[start - 1].blocks == left[end - 1].blocks) --start;
    for (size_t i = start; i < end; ++i) add(left[i].pod, left[i].blocks);
    end = start;
  }
}

// Pods without a group that needs every block: any length may do.
void Scorer::State::GatherWindowed(const ScoreRequest& request, uint32_t blocks,
                                   std::vector<PodScore>* scores) {
  for (const PodId pod : groups.windowed()) {
    if (pod >= pods.size() || !MayCount(pod)) continue;
    const PodScore score = groups.Score({index, tiers, runs, request.key_tokens}, pod, blocks);
    if (score.blocks > 0) scores->push_back(score);
  }
}

}  // namespace headrace::indexer
