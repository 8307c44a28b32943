// The parts of the core, put together. engine.cc hands each command to the part that it concerns.
#pragma once

#include <memory>

#include "engine/closing.h"
#include "engine/engine.h"
#include "engine/eviction_policy.h"
#include "engine/load_worker.h"
#include "engine/resident_walk.h"
#include "engine/save_worker.h"

namespace headrace::engine {

class Engine::State {
 public:
  static Result<std::unique_ptr<State>> Create(PoolMeta meta, Config config);

  void Apply(const Command& command, Time now, Effects* effects);
  bool HasWork() const;
  std::optional<Time> NextDeadline() const;
  const Stats& stats() const { return context_.stats; }
  BlockIndex Walk(BlockIndex from, uint32_t count, const ResidentVisitor& visit) const {
    return engine::WalkResident(*cache_, from, count, visit);
  }
  void CheckInvariants() const;
  uint32_t LinearHit(NamespaceId name_space, const HashList& hashes) const {
    return queries_->LinearHit(name_space, hashes);
  }

 private:
  State(PoolMeta meta, Config config);
  Status Build(uint64_t seed);

  void On(const OpenSession& command);
  void On(const CloseSession& command);
  void On(const Register& command);
  void On(const Unregister& command);
  void On(const Query& command);
  void On(const Save& command);
  void On(const Load& command);
  void On(const Release& command);
  void On(const DropHandle& command);
  void On(const Clear& command);
  void On(const Purge& command);
  void On(const Cancel& command);
  void On(const Completion& command);
  void On(const PageReady& command);
  void On(const Tick&) {}

  struct Request {
    SessionId session = 0;
    RequestId request = 0;
    wire::MessageType type{};
  };
  void Refuse(const Request& request, const Error& error);
  void Answer(const Request& request, wire::ReplyBody body);
  // Refuse when there is none.
  Session* FindSession(const Request& request);
  Registration* FindRegistration(const Request& request, uint32_t registration);
  Result<Registration*> Join(const Register& command, Session* session);
  Status Bind(const Register& command, Registration* registration);
  Result<Transfer*> TryLoad(const Load& command, Registration* registration);
  Result<Transfer*> TrySave(const Save& command, Registration* registration);
  void RunBackground();

  Context context_;
  PoolMeta meta_;
  std::unique_ptr<EvictionPolicy> policy_;
  Slab slab_;
  NamespaceTable namespaces_;
  Quotas quotas_;
  SessionTable sessions_;
  std::unique_ptr<BlockCache> cache_;
  std::unique_ptr<Leasing> leasing_;
  std::unique_ptr<Evictor> evictor_;
  std::unique_ptr<Sweeper> sweeper_;
  std::unique_ptr<Transfers> transfers_;
  std::unique_ptr<SaveWorker> saves_;
  std::unique_ptr<LoadWorker> loads_;
  std::unique_ptr<PrefixQuery> queries_;
  std::unique_ptr<Closing> closing_;
  uint32_t turn_ = 0;  // which part's waiting work comes first
};

}  // namespace headrace::engine
