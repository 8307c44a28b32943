#include "indexer/holder_table.h"

#include <algorithm>

namespace headrace::indexer {

HolderId HolderTable::Add(const HolderInfo& info) {
  HR_CHECK(info.pod < kMaxPods);
  if (info.pod >= by_pod_.size()) by_pod_.resize(info.pod + size_t{1});
  for (const HolderId holder : by_pod_[info.pod]) {
    const HolderInfo& old = infos_[holder];
    if (old.tier == info.tier && old.group == info.group && old.speculative == info.speculative) {
      return holder;
    }
  }
  auto holder = static_cast<HolderId>(infos_.size());
  if (free_.empty()) {
    infos_.push_back(info);
    states_.push_back(State::kFree);
  } else {
    holder = free_.back();
    free_.pop_back();
    HR_CHECK(states_[holder] == State::kFree);
    infos_[holder] = info;
  }
  by_pod_[info.pod].push_back(holder);
  SetStates(info.pod);
  return holder;
}

void HolderTable::SetStates(PodId pod) {
  const State state = by_pod_[pod].size() == 1 ? State::kAlone : State::kLives;
  for (const HolderId holder : by_pod_[pod]) states_[holder] = state;
}

void HolderTable::End(HolderId holder) {
  HR_CHECK(Lives(holder));
  const PodId pod = infos_[holder].pod;
  std::erase(by_pod_[pod], holder);
  states_[holder] = State::kEnded;
  SetStates(pod);
}

void HolderTable::Release(HolderId holder) {
  HR_CHECK(states_.at(holder) == State::kEnded);
  states_[holder] = State::kFree;
  free_.push_back(holder);
}

const std::vector<HolderId>& HolderTable::OfPod(PodId pod) const {
  static const std::vector<HolderId> none;
  return pod < by_pod_.size() ? by_pod_[pod] : none;
}

uint64_t HolderTable::bytes() const {
  uint64_t bytes = infos_.capacity() * sizeof(HolderInfo) + states_.capacity() +
                   by_pod_.capacity() * sizeof(by_pod_[0]) + free_.capacity() * sizeof(HolderId);
  for (const auto& holders : by_pod_) bytes += holders.capacity() * sizeof(HolderId);
  return bytes;
}

}  // namespace headrace::indexer
