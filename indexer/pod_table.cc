#include "indexer/pod_table.h"

#include <algorithm>
#include <utility>

namespace headrace::indexer {
namespace {

bool Same(const HolderInfo& a, const HolderInfo& b) {
  return a.tier == b.tier && a.group == b.group && a.speculative == b.speculative;
}

}  // namespace

const char* PodStateName(PodState state) {
  switch (state) {
    case PodState::kLive:
      return "live";
    case PodState::kUncertain:
      return "uncertain";
    case PodState::kGone:
      return "gone";
  }
  return "gone";
}

PodTable::PodTable(Index* index) : index_(index) {
  HR_CHECK(index_ != nullptr);
}

PodTable::Record& PodTable::At(PodId pod) {
  HR_CHECK(pod < records_.size());
  return records_[pod];
}

const PodTable::Record& PodTable::At(PodId pod) const {
  HR_CHECK(pod < records_.size());
  return records_[pod];
}

Result<PodId> PodTable::Take(std::string name) {
  if (name.size() > kMaxNameBytes || (free_.empty() && records_.size() >= kMaxPods)) {
    ++refused_;
    return Fail(Errc::kLimit, "too many pods, or a name that is too long");
  }
  PodId pod = static_cast<PodId>(records_.size());
  if (free_.empty()) {
    records_.emplace_back();
  } else {
    pod = free_.front();
    free_.pop_front();
  }
  Record& record = records_[pod];
  HR_CHECK(record.state == PodState::kGone && record.holders.empty());
  const uint32_t life = record.life;
  const uint32_t epoch = record.epoch;
  record = Record{};
  record.name = std::move(name);
  record.pod = pod;
  record.state = PodState::kLive;
  record.life = life + 1;
  record.epoch = epoch + 1;
  return pod;
}

Result<PodId> PodTable::Intern(std::string_view name) {
  HR_TRY(const PodId pod, InternServed(name));
  records_[pod].told = true;
  return pod;
}

Result<PodId> PodTable::InternServed(std::string_view name) {
  const auto known = Find(name);
  if (known) return *known;
  HR_TRY(const PodId pod, Take(std::string(name)));
  numbers_.emplace(records_[pod].name, pod);
  return pod;
}

std::optional<PodId> PodTable::Find(std::string_view name) const {
  const auto known = numbers_.find(std::string(name));
  if (known == numbers_.end()) return std::nullopt;
  return known->second;
}

Result<PodId> PodTable::Member(PodId pod, uint64_t name_space, int32_t rank) {
  HR_CHECK(At(pod).pod == pod);
  if (At(pod).state == PodState::kGone) return Fail(Errc::kGone, "the pod was removed");
  rank = std::max(rank, 0);
  Record& record = At(pod);
  if (!record.bound) {
    record.bound = true;
    record.name_space = name_space;
  }
  if (rank == 0 && record.name_space == name_space) return pod;
  for (const PodId member : record.members) {
    if (At(member).name_space == name_space && At(member).rank == rank) return member;
  }
  std::string name = record.name + "#" + std::to_string(rank);
  HR_TRY(const PodId member, Take(std::move(name)));
  At(member).pod = pod;
  At(member).bound = true;
  At(member).name_space = name_space;
  At(member).rank = rank;
  At(pod).members.push_back(member);
  for (const PodId node : At(pod).nodes) {
    if (At(node).serve_space == name_space) FindServed(node);
  }
  return member;
}

PodState PodTable::state(PodId pod) const {
  const Record& record = At(At(pod).pod);
  if (record.state != PodState::kLive) return record.state;
  const bool doubt = std::any_of(record.nodes.begin(), record.nodes.end(), [this](PodId node) {
    return At(At(node).pod).state == PodState::kUncertain;
  });
  return doubt ? PodState::kUncertain : PodState::kLive;
}

HolderId PodTable::FindHolder(PodId member, const HolderInfo& info) const {
  for (const Slot& slot : At(member).holders) {
    if (Same(slot.info, info)) return slot.holder;
  }
  return kNoHolder;
}

Result<HolderId> PodTable::Holder(PodId member, const HolderInfo& info) {
  const HolderId known = FindHolder(member, info);
  if (known != kNoHolder) return known;
  Record& record = At(member);
  HR_CHECK(record.state != PodState::kGone);
  if (record.holders.size() >= kMaxHolders) {
    ++refused_;
    return Fail(Errc::kLimit, "a pod has too many kinds of copies");
  }
  HolderInfo own = info;
  own.pod = member;
  const HolderId holder = index_->AddHolder(own);
  if (holder == kNoHolder) {
    ++refused_;
    return Fail(Errc::kLimit, "the index has no more holders");
  }
  record.holders.push_back({own, holder});
  return holder;
}

void PodTable::Clear(PodId member) {
  Record& record = At(member);
  for (const Slot& slot : record.holders) index_->EndHolder(slot.holder);
  record.holders.clear();
  ++record.epoch;
}

void PodTable::End(PodId pod) {
  Record& record = At(pod);
  HR_CHECK(record.state != PodState::kGone);
  Clear(pod);
  ++record.life;
  record.state = PodState::kGone;
  if (!record.groups.empty() && on_groups_) on_groups_(pod, {});
  record.groups.clear();
  SetServes(pod, {});
  free_.push_back(pod);
}

void PodTable::Remove(PodId pod) {
  HR_CHECK(At(pod).pod == pod);
  if (At(pod).state == PodState::kGone) return;
  numbers_.erase(At(pod).name);
  // Another pod may get the number: no node serves that one unasked.
  for (const PodId node : std::exchange(At(pod).nodes, {})) {
    std::erase(At(node).serves, pod);
    FindServed(node);
  }
  for (const PodId member : std::exchange(At(pod).members, {})) End(member);
  End(pod);
}

void PodTable::SetUncertain(PodId pod, bool uncertain) {
  Record& record = At(At(pod).pod);
  if (record.state == PodState::kGone) return;
  HR_CHECK(uncertain || record.doubts > 0);
  record.doubts += uncertain ? 1 : -1;
  record.state = record.doubts > 0 ? PodState::kUncertain : PodState::kLive;
}

void PodTable::Serve(PodId node, uint64_t name_space, std::span<const std::string_view> pods) {
  if (At(At(node).pod).state == PodState::kGone) return;
  std::vector<PodId> numbers;
  for (const std::string_view name : pods) {
    const auto pod = InternServed(name);
    if (pod && *pod != At(node).pod) numbers.push_back(*pod);
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  At(node).serve_space = name_space;
  SetServes(node, std::move(numbers));
}

void PodTable::ServeIn(PodId node, uint64_t name_space) {
  At(node).serve_space = name_space;
  FindServed(node);
}

void PodTable::SetServes(PodId node, std::vector<PodId> pods) {
  const std::vector<PodId> before = std::exchange(At(node).serves, std::move(pods));
  for (const PodId pod : At(node).serves) {
    auto& nodes = At(pod).nodes;
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
  }
  FindServed(node);
  const std::vector<PodId> after = At(node).serves;
  for (const PodId pod : before) {
    if (std::binary_search(after.begin(), after.end(), pod)) continue;
    std::erase(At(pod).nodes, node);
    if (At(pod).nodes.empty() && !At(pod).told) Remove(pod);
  }
}

void PodTable::FindServed(PodId node) {
  std::vector<PodId> served;
  const uint64_t name_space = At(node).serve_space;
  for (const PodId pod : At(node).serves) {
    const auto first = Member(pod, name_space, 0);
    if (first) served.push_back(*first);
    for (const PodId member : At(pod).members) {
      if (At(member).name_space == name_space && At(member).rank > 0) served.push_back(member);
    }
  }
  std::sort(served.begin(), served.end());
  if (served == At(node).served) return;
  At(node).served = std::move(served);
  if (on_served_) on_served_(node, At(node).served);
}

const GroupSpec* PodTable::FindGroup(PodId member, int32_t group) const {
  for (const GroupSpec& known : At(member).groups) {
    if (known.group == group) return &known;
  }
  return nullptr;
}

void PodTable::LearnGroup(PodId member, const GroupSpec& group) {
  auto& groups = At(member).groups;
  const auto place = std::find_if(groups.begin(), groups.end(), [&](const GroupSpec& known) {
    return known.group >= group.group;
  });
  if (place != groups.end() && place->group == group.group) {
    if (place->rule == group.rule && place->window_tokens == group.window_tokens) return;
    *place = group;
  } else {
    if (groups.size() >= kMaxGroups) {
      ++refused_;
      return;
    }
    groups.insert(place, group);
  }
  if (on_groups_) on_groups_(member, groups);
}

void PodTable::Fold(std::vector<PodScore>* scores) const {
  std::unordered_map<PodId, PodScore> best;
  for (PodScore score : *scores) {
    score.pod = ScoredAs(score.pod);
    const auto [place, added] = best.emplace(score.pod, score);
    if (!added && place->second.score < score.score) place->second = score;
  }
  scores->clear();
  for (const auto& [pod, score] : best) scores->push_back(score);
  std::sort(scores->begin(), scores->end(), [](const PodScore& a, const PodScore& b) {
    return a.score != b.score ? a.score > b.score : a.pod < b.pod;
  });
}

void PodTable::ForEach(const std::function<void(PodId)>& visit) const {
  for (PodId pod = 0; pod < records_.size(); ++pod) {
    if (records_[pod].state != PodState::kGone && records_[pod].pod == pod) visit(pod);
  }
}

}  // namespace headrace::indexer
