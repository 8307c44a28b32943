#include "server/event_pods.h"

#include <algorithm>

#include "base/log.h"
#include "wire/event.h"

namespace headrace::server {

void PodBoard::Join(engine::SessionId session, uint32_t registration, std::string_view name_space,
                    std::span<const std::string_view> pods, std::string_view model) {
  if (pods.empty() && model.empty()) return;
  Member member{.name_space = std::string(name_space),
                .pods = {pods.begin(), pods.end()},
                .model = std::string(model)};
  std::sort(member.pods.begin(), member.pods.end());
  member.pods.erase(std::unique(member.pods.begin(), member.pods.end()), member.pods.end());
  const auto [place, added] = members_.emplace(MemberKey{session, registration}, std::move(member));
  HR_CHECK(added);  // numbers of registrations are not given twice
  const Member& joined = place->second;
  {
    const std::lock_guard lock(mutex_);
    Space& space = spaces_[joined.name_space];
    for (const std::string& pod : joined.pods) ++space.pods[pod];
    if (!joined.model.empty()) space.models.push_back(joined.model);
  }
  Show(joined.name_space);
}

void PodBoard::Leave(engine::SessionId session, uint32_t registration) {
  const auto member = members_.find({session, registration});
  if (member != members_.end()) Drop(member);
}

void PodBoard::LeaveAll(engine::SessionId session) {
  for (auto at = members_.lower_bound({session, 0});
       at != members_.end() && at->first.first == session;) {
    Drop(at++);
  }
}

void PodBoard::Drop(std::map<MemberKey, Member>::iterator member) {
  const Member left = std::move(member->second);
  members_.erase(member);
  {
    const std::lock_guard lock(mutex_);
    Space& space = spaces_.at(left.name_space);
    for (const std::string& pod : left.pods) {
      const auto count = space.pods.find(pod);
      HR_CHECK(count != space.pods.end() && count->second > 0);
      if (--count->second == 0) space.pods.erase(count);
    }
    if (!left.model.empty()) {
      const auto model = std::find(space.models.begin(), space.models.end(), left.model);
      HR_CHECK(model != space.models.end());
      space.models.erase(model);
    }
  }
  Show(left.name_space);
}

void PodBoard::Show(const std::string& name_space) {
  ServedPods shown;
  const std::lock_guard lock(mutex_);
  Space& space = spaces_.at(name_space);
  for (const auto& [pod, count] : space.pods) {
    if (shown.names.size() < wire::EventDecoder::kMaxPods) shown.names.push_back(pod);
  }
  if (shown.names.size() < space.pods.size()) {
    HR_WARN("{} pods share a namespace: an index hears of the first {}", space.pods.size(),
            shown.names.size());
  }
  if (!space.models.empty()) shown.model = space.models.front();
  const bool same = space.served != nullptr && space.served->names == shown.names &&
                    space.served->model == shown.model;
  if (same) return;
  if (space.pods.empty() && space.models.empty()) {
    spaces_.erase(name_space);
  } else {
    shown.packed = wire::PackEventPods(shown.names);
    space.served = std::make_shared<const ServedPods>(std::move(shown));
  }
  version_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const ServedPods> PodBoard::Of(std::string_view name_space) const {
  const std::lock_guard lock(mutex_);
  const auto found = spaces_.find(name_space);
  return found == spaces_.end() ? nullptr : found->second.served;
}

}  // namespace headrace::server
