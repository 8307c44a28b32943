// Grants and ends leases: the one place where leases, blocks, sessions and quotas meet.
// The core's thread.
#pragma once

#include "engine/cache.h"
#include "engine/lease_table.h"
#include "engine/session_table.h"

namespace headrace::engine {

class Leasing : public BlockCache::Listener {
 public:
  struct Parts {
    Context* context = nullptr;
    BlockCache* cache = nullptr;
    NamespaceTable* namespaces = nullptr;
    Quotas* quotas = nullptr;
  };
  static Result<std::unique_ptr<Leasing>> Create(const Parts& parts);

  // On [0, blocks), whose last block is `tip`. Fails with kLimit.
  Result<LeaseId> Grant(Session* session, BlockIndex tip, uint32_t consumers);

  // The lease, when this session may load under it now. Fails with kNotFound, kGone, kPermission.
  Result<const Lease*> Check(LeaseId id, const Session& session, NamespaceId name_space) const;
  // A load starts: one consumer less; the last one ends the lease (the load has pins of its own).
  void LoadStarts(LeaseId id);
  void LoadEnds(LeaseId id);

  // Ends a lease at its holder's word; other instances' and unknown ones are left alone.
  void Release(const Session& session, LeaseId id);
  // Ends one lease that the session was granted; false when it has none.
  bool EndOneOf(Session* session);
  // Ends leases on a block, while the Apply has units; true when none is left.
  bool EndAllOn(BlockIndex block);
  // Ends those whose time is over, while the Apply has units.
  void RunDue();
  bool HasDue() const;
  std::optional<Time> NextDeadline() const;

  void BlockGoes(BlockIndex block) override;

  // Leases on a block, for CheckInvariants.
  void CheckLeases() const;
  size_t size() const { return leases_.size(); }

 private:
  explicit Leasing(const Parts& parts) : p_(parts) {}

  enum class Why : uint8_t { kReleased, kExpired, kHungUp };
  void End(LeaseIndex index, Why why);
  LeaseIndex SameHolder(BlockIndex tip, InstanceId instance, LeaseIndex but) const;

  Parts p_;
  LeaseTable leases_;
};

}  // namespace headrace::engine
