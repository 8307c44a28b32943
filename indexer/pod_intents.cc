#include "indexer/pod_intents.h"

#include <algorithm>

namespace headrace::indexer {

PodIntents::PodIntents(Index* index, PodTable* pods, size_t max_keys)
    : index_(index), pods_(pods), max_keys_(max_keys) {
  HR_CHECK(index_ != nullptr && pods_ != nullptr);
}

PodIntents::Intents* PodIntents::Current(PodId pod) {
  const auto known = intents_.find(pod);
  if (known == intents_.end()) return nullptr;
  if (known->second.epoch == pods_->epoch(pod)) return &known->second;
  // The copies went with the epoch.
  HR_CHECK(size_ >= known->second.until.size());
  size_ -= known->second.until.size();
  intents_.erase(known);
  return nullptr;
}

Status PodIntents::Add(PodId pod, uint8_t tier, std::span<const RequestKey> keys, Time now,
                       Duration ttl) {
  pod = pods_->ScoredAs(pod);
  if (pods_->state(pod) == PodState::kGone) return Fail(Errc::kGone, "no such pod");
  // Prolonged ones leave an older deadline behind: those are bounded as well.
  if (size_ + keys.size() > max_keys_ || due_.size() + keys.size() > 4 * max_keys_) {
    return Fail(Errc::kLimit, "too many speculative entries");
  }
  Intents* intents = Current(pod);
  if (intents == nullptr) {
    intents = &intents_[pod];
    *intents = {pods_->epoch(pod), tier, {}};
  }
  HR_TRY(const HolderId holder,
         pods_->Holder(pod, {.pod = pod, .tier = intents->tier, .speculative = true}));
  const Time until = now + std::clamp(ttl, Duration{}, kMaxTtl);
  for (const RequestKey key : keys) {
    const auto [place, added] = intents->until.emplace(key, until);
    if (added) {
      index_->Add(holder, {}, {&key, 1});
      ++size_;
    } else if (place->second >= until) {
      continue;
    }
    place->second = until;
    due_.push({until, pod, key});
  }
  return {};
}

void PodIntents::End(PodId pod, const Intents& intents, RequestKey key) {
  const HolderId holder =
      pods_->FindHolder(pod, {.pod = pod, .tier = intents.tier, .speculative = true});
  HR_CHECK(holder != kNoHolder && size_ > 0);
  index_->RemoveKeys(holder, {&key, 1});
  --size_;
}

void PodIntents::Confirm(PodId pod, std::span<const RequestKey> keys) {
  if (size_ == 0) return;
  pod = pods_->ScoredAs(pod);
  Intents* intents = Current(pod);
  if (intents == nullptr) return;
  for (const RequestKey key : keys) {
    if (intents->until.erase(key) == 0) continue;
    End(pod, *intents, key);
  }
}

void PodIntents::Expire(Time now) {
  while (!due_.empty() && due_.top().when <= now) {
    const Due due = due_.top();
    due_.pop();
    Intents* intents = Current(due.pod);
    if (intents == nullptr) continue;
    const auto place = intents->until.find(due.key);
    if (place == intents->until.end() || place->second > now) continue;
    intents->until.erase(place);
    End(due.pod, *intents, due.key);
    ++expired_;
  }
}

}  // namespace headrace::indexer
