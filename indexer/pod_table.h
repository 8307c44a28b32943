// Who can serve a prompt: pods, the data-parallel ranks and models of a pod as members that are
// scored as the pod, and nodes with the pods that they serve. Owns names, lives and holders of the
// index; never which blocks. The index's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "indexer/index.h"
#include "indexer/scorer.h"

namespace headrace::indexer {

enum class PodState : uint8_t {
  kLive,
  kUncertain,  // its events have a gap that is not filled yet: scored, flagged
  kGone,
};
const char* PodStateName(PodState state);

// What a pod's events came to. Of a pod, not of its members.
struct PodCounters {
  uint64_t batches = 0;
  uint64_t events = 0;
  uint64_t bad = 0;      // events that did not parse, or contradict themselves
  uint64_t unknown = 0;  // events of a type that nobody knows here
  uint64_t stored_blocks = 0;
  uint64_t removed_blocks = 0;
  uint64_t cleared = 0;
  uint64_t sparse = 0;     // stores whose hashes do not cover their tokens
  uint64_t waited = 0;     // events and hashes that came before what they name
  uint64_t waiting = 0;    // of these, those that still wait
  uint64_t dropped = 0;    // of these, those that left for a bound, their age or a clear
  uint64_t limited = 0;    // events that a limit of this table or of the index refused
  double lag_seconds = 0;  // of the last batch, by both clocks
};

class PodTable {
 public:
  static constexpr size_t kMaxPods = 65536;   // members too
  static constexpr size_t kMaxHolders = 256;  // of one member
  static constexpr size_t kMaxGroups = 64;    // of one member
  static constexpr size_t kMaxNameBytes = 512;

  // The index outlives the table.
  explicit PodTable(Index* index);

  // The pod's number, a new one if need be. kLimit: kMaxPods are there, or the name is too long.
  Result<PodId> Intern(std::string_view name);
  std::optional<PodId> Find(std::string_view name) const;
  // A rank (-1 and 0: the pod as such) of a pod in one name space. The first name space of a pod
  // is the pod itself, so that most pods have no members.
  Result<PodId> Member(PodId pod, uint64_t name_space, int32_t rank);

  // The number that scores, filters and people use: a member's pod.
  PodId ScoredAs(PodId pod) const { return At(pod).pod; }
  const std::string& name(PodId pod) const { return At(pod).name; }
  uint64_t name_space(PodId pod) const { return At(pod).name_space; }
  int32_t rank(PodId pod) const { return At(pod).rank; }
  // Uncertain also while a node that serves it is.
  PodState state(PodId pod) const;
  // Ends with Remove: what was queued under an older life does not count any more.
  uint32_t life(PodId pod) const { return At(pod).life; }
  // Ends with Clear and Remove: what waits under an older epoch does not count any more.
  uint32_t epoch(PodId pod) const { return At(pod).epoch; }
  PodCounters& counters(PodId pod) { return At(At(pod).pod).counters; }
  const PodCounters& counters(PodId pod) const { return At(At(pod).pod).counters; }

  // The index's number for copies of this member. kLimit: kMaxHolders.
  Result<HolderId> Holder(PodId member, const HolderInfo& info);
  // The same, or kNoHolder when there never was one: nothing to remove then.
  HolderId FindHolder(PodId member, const HolderInfo& info) const;

  // All that a member holds is over, in O(1).
  void Clear(PodId member);
  // The pod and its members are gone, at a cost that does not depend on what they hold. Its number
  // may be given again.
  void Remove(PodId pod);
  // One stream more, or less, that has a gap: the pod is uncertain while there is any.
  void SetUncertain(PodId pod, bool uncertain);

  // What this member of a node holds counts for the pods of these names, in the name space of its
  // hashes. Replaces the list. Pods that nothing but lists knows come and go with them.
  void Serve(PodId node, uint64_t name_space, std::span<const std::string_view> pods);
  // The same pods, in another name space.
  void ServeIn(PodId node, uint64_t name_space);
  // The pods of its list, and the name space.
  std::span<const PodId> Serves(PodId node) const { return At(node).serves; }
  uint64_t serve_space(PodId node) const { return At(node).serve_space; }
  // Those pods' members. `OnServed` is told of each change, so that a scorer knows.
  std::span<const PodId> Served(PodId node) const { return At(node).served; }
  using ServedHandler = std::function<void(PodId node, std::span<const PodId> members)>;
  void OnServed(ServedHandler handler) { on_served_ = std::move(handler); }

  // How the member's KV groups count. `OnGroups` is told of each change, so that a scorer knows.
  void LearnGroup(PodId member, const GroupSpec& group);
  std::span<const GroupSpec> groups(PodId member) const { return At(member).groups; }
  const GroupSpec* FindGroup(PodId member, int32_t group) const;
  using GroupsHandler = std::function<void(PodId member, std::span<const GroupSpec> groups)>;
  void OnGroups(GroupsHandler handler) { on_groups_ = std::move(handler); }

  // Scores of members as those of their pods: the best member's. Best first, then the lowest
  // number.
  void Fold(std::vector<PodScore>* scores) const;

  // Pods that are not gone, without members.
  void ForEach(const std::function<void(PodId)>& visit) const;
  size_t size() const { return numbers_.size(); }
  size_t records() const { return records_.size(); }  // numbers below it are or were pods, members
  uint64_t refused() const { return refused_; }       // for kMaxPods and kMaxHolders

 private:
  struct Slot {
    HolderInfo info;
    HolderId holder = kNoHolder;
  };
  struct Record {
    std::string name;
    PodId pod = kNoPod;  // itself, or the pod that it is a member of
    PodState state = PodState::kGone;
    uint32_t doubts = 0;  // streams that have a gap
    bool bound = false;   // has its name space
    uint64_t name_space = 0;
    int32_t rank = 0;
    uint32_t life = 0;
    uint32_t epoch = 0;
    std::vector<Slot> holders;
    std::vector<GroupSpec> groups;
    std::vector<PodId> members;
    bool told = false;          // by more than lists of nodes
    std::vector<PodId> nodes;   // whose lists name this pod
    std::vector<PodId> serves;  // of a node: the pods of its list
    uint64_t serve_space = 0;
    std::vector<PodId> served;  // their members in that name space
    PodCounters counters;
  };

  Record& At(PodId pod);
  const Record& At(PodId pod) const;
  Result<PodId> Take(std::string name);
  Result<PodId> InternServed(std::string_view name);
  void SetServes(PodId node, std::vector<PodId> pods);
  void FindServed(PodId node);
  void End(PodId pod);

  Index* const index_;
  GroupsHandler on_groups_;
  ServedHandler on_served_;
  std::deque<Record> records_;  // by number
  std::deque<PodId> free_;      // the oldest first: numbers are not given again in a hurry
  std::unordered_map<std::string, PodId> numbers_;  // pods that are not gone
  uint64_t refused_ = 0;
};

}  // namespace headrace::indexer
