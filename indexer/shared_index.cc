#include "indexer/shared_index.h"

#include <algorithm>
#include <utility>

#include "base/time.h"

namespace headrace::indexer {
namespace {

constexpr Duration kRetry = milliseconds(100);  // while the remote index is away
constexpr Duration kBusy = milliseconds(2);     // while it has enough to write
constexpr size_t kPageBlocks = 512;
constexpr size_t kPageCopies = 8192;          // if each pod has each block
constexpr uint64_t kEnoughQueued = 1u << 14;  // keys

}  // namespace

SharedIndex::SharedIndex(Loop* loop, Index* memory, std::shared_ptr<RemoteIndex> remote,
                         NameHolder name)
    : loop_(loop), memory_(memory), remote_(std::move(remote)), name_(std::move(name)) {
  HR_CHECK(loop_ != nullptr && memory_ != nullptr && remote_ != nullptr && name_ != nullptr);
  remote_->OnLost([this](const std::string& pod, const Error&) { OnLost(pod); });
}

SharedIndex::~SharedIndex() {
  EndRemote();
}

void SharedIndex::EndRemote() {
  if (remote_ != nullptr) remote_->OnLost(nullptr);
  remote_.reset();
  if (timer_ != 0) loop_->CancelTimer(std::exchange(timer_, 0));
}

HolderId SharedIndex::AddHolder(const HolderInfo& info) {
  const HolderId holder = memory_->AddHolder(info);
  if (holder == kNoHolder || remote_ == nullptr) return holder;
  if (holder >= names_.size()) names_.resize(holder + 1);
  names_[holder] = name_(info);
  // A new life: what it, or another server, said of an earlier one does not count.
  const std::string& pod = names_[holder].pod;
  if (begun_.insert(pod).second) {
    remote_->Clear(pod);
    EndOldRules(pod);
  }
  return holder;
}

// A pod's holders end together.
void SharedIndex::EndHolder(HolderId holder) {
  memory_->EndHolder(holder);
  if (remote_ == nullptr) return;
  const std::string pod = std::exchange(names_.at(holder), {}).pod;
  if (begun_.erase(pod) == 0) return;
  lost_.erase(pod);
  telling_.erase(pod);
  settling_->erase(pod);
  remote_->RemovePod(pod);
}

bool SharedIndex::IsHeld(RequestKey key, HolderId holder) const {
  const std::vector<HolderId> holders = memory_->Holders(key);
  return std::find(holders.begin(), holders.end(), holder) != holders.end();
}

// Copies are counted in memory; the remote index is told of the first one.
void SharedIndex::Add(HolderId holder, std::span<const EngineKey> engine,
                      std::span<const RequestKey> keys) {
  touched_.clear();
  if (remote_ != nullptr) {
    for (const RequestKey key : keys) {
      if (!IsHeld(key, holder)) touched_.push_back(key);
    }
  }
  memory_->Add(holder, engine, keys);
  if (touched_.empty()) return;
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  remote_->Add(names_.at(holder), {}, touched_);
}

void SharedIndex::TellGone(HolderId holder) {
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  std::erase_if(touched_, [&](RequestKey key) { return IsHeld(key, holder); });
  if (!touched_.empty()) remote_->RemoveKeys(names_.at(holder), touched_);
}

size_t SharedIndex::Remove(HolderId holder, std::span<const EngineKey> engine) {
  touched_.clear();
  if (remote_ != nullptr) {
    for (const EngineKey key : engine) {
      const auto named = memory_->Resolve(key);
      touched_.insert(touched_.end(), named.begin(), named.end());
    }
    std::erase_if(touched_, [&](RequestKey key) { return !IsHeld(key, holder); });
  }
  const size_t taken = memory_->Remove(holder, engine);
  if (!touched_.empty()) TellGone(holder);
  return taken;
}

size_t SharedIndex::RemoveKeys(HolderId holder, std::span<const RequestKey> keys) {
  touched_.clear();
  if (remote_ != nullptr) {
    for (const RequestKey key : keys) {
      if (IsHeld(key, holder)) touched_.push_back(key);
    }
  }
  const size_t taken = memory_->RemoveKeys(holder, keys);
  if (!touched_.empty()) TellGone(holder);
  return taken;
}

void SharedIndex::Describe(const std::string& pod, const RemoteRules& rules) {
  if (remote_ == nullptr) return;
  described_.insert(pod);
  remote_->Describe(pod, rules);
}

void SharedIndex::EndOldRules(const std::string& pod) {
  if (!described_.contains(pod)) Describe(pod, {});
}

void SharedIndex::Forget(const std::string& pod) {
  if (remote_ == nullptr || begun_.contains(pod)) return;
  remote_->RemovePod(pod);
  EndOldRules(pod);
}

bool SharedIndex::IsBehind(std::string_view pod) const {
  return lost_.contains(pod) || telling_.contains(pod) || settling_->contains(pod);
}

// The stream of a pod that is gone here was lost with its end: what is left of it in the remote
// index is said to be over once more.
void SharedIndex::OnLost(const std::string& pod) {
  telling_.erase(pod);
  lost_.insert(pod);
  if (timer_ == 0) Arm(kRetry);
}

void SharedIndex::Arm(Duration after) {
  timer_ = loop_->At(MonotonicNow() + after, [this] {
    timer_ = 0;
    TellAgain();
  });
}

void SharedIndex::TellAgain() {
  if (!remote_->available()) return Arm(kRetry);
  if (remote_->stats().queued_keys >= kEnoughQueued) return Arm(kBusy);
  if (!passing_) {
    for (const std::string& pod : std::exchange(lost_, {})) {
      if (begun_.contains(pod)) {
        // Events that come from here on are told as ever.
        remote_->Clear(pod);
        telling_.insert(pod);
      } else {
        remote_->RemovePod(pod);
      }
    }
    cursor_ = 0;
  }
  if (!telling_.empty()) TellPage();
  passing_ = cursor_ != 0 && !telling_.empty();
  if (passing_) {
    Arm(Duration{});
  } else if (!lost_.empty()) {
    Arm(kRetry);
  }
}

void SharedIndex::TellPage() {
  page_.clear();
  const size_t blocks = std::clamp<size_t>(kPageCopies / telling_.size(), 1, kPageBlocks);
  cursor_ = memory_->Visit(cursor_, blocks,
                           [&](RequestKey key, EngineKey, std::span<const HolderId> holders) {
                             for (const HolderId holder : holders) {
                               if (!telling_.contains(names_.at(holder).pod)) continue;
                               page_[holder].push_back(key);
                             }
                           });
  for (const auto& [holder, keys] : page_) {
    // An event may have told of some of them since the pass began; each is to count once.
    remote_->RemoveKeys(names_[holder], keys);
    remote_->Add(names_[holder], {}, keys);
  }
  if (cursor_ == 0) Settle();
}

void SharedIndex::Settle() {
  for (const std::string& pod : std::exchange(telling_, {})) {
    settling_->insert(pod);
    remote_->Flush(pod, [settling = settling_, pod](const Status&) { settling->erase(pod); });
  }
}

}  // namespace headrace::indexer
