// Which pods a namespace's blocks count for: the pods that its registrations name, as long as their
// sessions live. Written by the core's thread, read by the publisher's; a lock for a moment, held
// while a list of names is copied.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/types.h"

namespace headrace::server {

// Of one namespace, at one time.
struct ServedPods {
  std::vector<std::string> names;  // each once, in order
  std::string model;               // as the pods' own topics call it; "": as the namespace
  std::string packed;              // names, as an event carries them
};

class PodBoard {
 public:
  // The core's thread. A registration that names neither pods nor a model is none of this board's.
  void Join(engine::SessionId session, uint32_t registration, std::string_view name_space,
            std::span<const std::string_view> pods, std::string_view model);
  void Leave(engine::SessionId session, uint32_t registration);
  void LeaveAll(engine::SessionId session);

  // Any thread. Grows with each change.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // Null: no registration names any. Equal lists are the same object.
  std::shared_ptr<const ServedPods> Of(std::string_view name_space) const;

 private:
  struct Member {
    std::string name_space;
    std::vector<std::string> pods;
    std::string model;
  };
  struct Space {
    std::map<std::string, uint32_t> pods;  // by how many registrations name each
    std::vector<std::string> models;       // of registrations, the oldest first
    std::shared_ptr<const ServedPods> served;
  };
  using MemberKey = std::pair<engine::SessionId, uint32_t>;

  void Drop(std::map<MemberKey, Member>::iterator member);
  void Show(const std::string& name_space);

  std::map<MemberKey, Member> members_;  // the core's thread alone
  mutable std::mutex mutex_;
  std::map<std::string, Space, std::less<>> spaces_;  // by mutex_
  std::atomic<uint64_t> version_ = 0;
};

}  // namespace headrace::server
