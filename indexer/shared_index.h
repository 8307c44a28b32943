// The index of a server that shares what its pods hold with other servers through a remote index:
// everything is told to this process's memory, which knows what engines' hashes name, and what
// begins or ends to be held is told to the remote one under the names of pods. Memory is also where
// a remote index that forgot gets it all again. Loop-bound.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "indexer/index.h"
#include "indexer/remote_index.h"

namespace headrace::indexer {

class SharedIndex final : public Index {
 public:
  // What others call a holder. Asked once for each AddHolder.
  using NameHolder = std::function<RemoteHolder(const HolderInfo&)>;

  // Loop and memory outlive it; memory drops nothing by itself.
  SharedIndex(Loop* loop, Index* memory, std::shared_ptr<RemoteIndex> remote, NameHolder name);
  ~SharedIndex() override;
  SharedIndex(const SharedIndex&) = delete;
  SharedIndex& operator=(const SharedIndex&) = delete;

  HolderId AddHolder(const HolderInfo& info) override;
  void EndHolder(HolderId holder) override;
  const HolderInfo& holder(HolderId holder) const override { return memory_->holder(holder); }
  void Add(HolderId holder, std::span<const EngineKey> engine,
           std::span<const RequestKey> keys) override;
  size_t Remove(HolderId holder, std::span<const EngineKey> engine) override;
  size_t RemoveKeys(HolderId holder, std::span<const RequestKey> keys) override;
  std::span<const RequestKey> Resolve(EngineKey engine) const override {
    return memory_->Resolve(engine);
  }
  bool Sweep(size_t steps) override { return memory_->Sweep(steps); }
  IndexStats stats() const override { return memory_->stats(); }
  std::vector<HolderId> Holders(RequestKey key) const override { return memory_->Holders(key); }
  uint64_t Visit(uint64_t cursor, size_t most,
                 const std::function<void(RequestKey, EngineKey, std::span<const HolderId>)>& visit)
      const override {
    return memory_->Visit(cursor, most, visit);
  }

  // How the pod, or the member of one, counts; nothing changes in memory.
  void Describe(const std::string& pod, const RemoteRules& rules);
  // An earlier life of this server may have written the pod: that is over.
  void Forget(const std::string& pod);
  // What the remote index has of the pod is not whole: it is being told again.
  bool IsBehind(std::string_view pod) const;
  size_t behind() const { return lost_.size() + telling_.size() + settling_->size(); }

  // Null behind EndRemote: nothing is told or asked any more.
  RemoteIndex* remote() const { return remote_.get(); }
  void EndRemote();

 private:
  using Pods = std::set<std::string, std::less<>>;

  bool IsHeld(RequestKey key, HolderId holder) const;
  // Tells of those of touched_ that the holder does not have any more.
  void TellGone(HolderId holder);
  // Unless this life of the server said how the pod counts.
  void EndOldRules(const std::string& pod);
  void OnLost(const std::string& pod);
  void Arm(Duration after);
  void TellAgain();
  void TellPage();
  void Settle();

  Loop* const loop_;
  Index* const memory_;
  std::shared_ptr<RemoteIndex> remote_;
  const NameHolder name_;
  std::vector<RemoteHolder> names_;  // by holder; an ended one has no pod
  Pods begun_;                       // have holders
  Pods described_;                   // how they count was said
  Pods lost_;                        // to be told again
  Pods telling_;                     // in this pass over memory
  // Told, and not written yet; its questions may outlive this object.
  std::shared_ptr<Pods> settling_ = std::make_shared<Pods>();
  bool passing_ = false;
  uint64_t cursor_ = 0;
  uint64_t timer_ = 0;
  std::vector<RequestKey> touched_;  // kept from one call to the next
  std::unordered_map<HolderId, std::vector<RequestKey>> page_;
};

}  // namespace headrace::indexer
