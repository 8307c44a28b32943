// Who may hold a block: the numbers of holders, which pod each belongs to, and whether it lives.
// One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "indexer/index.h"

namespace headrace::indexer {

class HolderTable {
 public:
  static constexpr PodId kMaxPods = 1u << 24;

  // The number of the living holder with this info; a new one when there is none.
  HolderId Add(const HolderInfo& info);
  // It lives no more; its number stays taken.
  void End(HolderId holder);
  // REQUIRES: ended, and in no set. Its number may be given again.
  void Release(HolderId holder);

  bool Known(HolderId holder) const {
    return holder < states_.size() && states_[holder] != State::kFree;
  }
  bool Lives(HolderId holder) const {
    return holder < states_.size() && states_[holder] >= State::kLives;
  }
  // It lives, and its pod has no other one.
  bool Alone(HolderId holder) const {
    return holder < states_.size() && states_[holder] == State::kAlone;
  }
  const HolderInfo& info(HolderId holder) const { return infos_[holder]; }
  // The living ones of a pod.
  const std::vector<HolderId>& OfPod(PodId pod) const;

  size_t used() const { return infos_.size() - free_.size(); }
  size_t numbers() const { return infos_.size(); }  // every number is below
  size_t pods() const { return by_pod_.size(); }    // every pod is below
  uint64_t bytes() const;

 private:
  enum class State : uint8_t { kFree, kEnded, kLives, kAlone };

  // Of the living ones of a pod, when there are more or fewer.
  void SetStates(PodId pod);

  std::vector<HolderInfo> infos_;
  std::vector<State> states_;
  std::vector<std::vector<HolderId>> by_pod_;
  std::vector<HolderId> free_;
};

}  // namespace headrace::indexer
