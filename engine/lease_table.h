// Leases: promises that a prefix stays. A lease is on the last block of the prefix; since only
// leaves are evicted, that protects the whole of it. Records and their three lists (by block, by
// session, by deadline); what a lease means for blocks and quotas is decided in leasing.cc.
// A lease's number says whether it ever existed, so "gone" and "never was" are told apart.
// The core's thread.
#pragma once

#include <optional>

#include "engine/types.h"
#include "engine/zeroed_array.h"

namespace headrace::engine {

struct Session;
using LeaseIndex = uint32_t;

struct Lease {
  LeaseId id;  // 0: free
  BlockIndex tip;
  uint32_t blocks;  // covers positions [0, blocks)
  Session* session;
  InstanceId instance;
  NamespaceId name_space;
  uint64_t bytes;  // charged to the instance
  Time deadline;
  uint32_t consumers;  // loads that may still start
  uint32_t loads;      // that run
  LeaseIndex block_prev, block_next;
  LeaseIndex session_prev, session_next;
  LeaseIndex due_prev, due_next;
  bool due_listed;  // no load runs: it ends at its deadline
  uint32_t serial;  // of the number given last; stays when the record is free
  LeaseIndex free_next;
};

class LeaseTable {
 public:
  static Result<LeaseTable> Create(uint32_t max_leases);

  Lease& operator[](LeaseIndex index) { return leases_[index]; }
  const Lease& operator[](LeaseIndex index) const { return leases_[index]; }
  size_t size() const { return size_; }
  LeaseIndex touched() const { return touched_; }

  // kNone when the table is full.
  LeaseIndex Add();
  void Free(LeaseIndex index);  // REQUIRES: in no list

  // kNotFound: never was; kGone: over.
  Result<LeaseIndex> Find(LeaseId id) const;

  // The list of leases on a block, headed by Block::first_lease; of a session, by
  // Session::first_lease.
  void LinkBlock(LeaseIndex index, LeaseIndex* head);
  void UnlinkBlock(LeaseIndex index, LeaseIndex* head);
  void LinkSession(LeaseIndex index, LeaseIndex* head);
  void UnlinkSession(LeaseIndex index, LeaseIndex* head);
  // By deadline. REQUIRES: `index` is due no earlier than all listed.
  void LinkDue(LeaseIndex index);
  void UnlinkDue(LeaseIndex index);
  LeaseIndex first_due() const { return due_head_; }

 private:
  ZeroedArray<Lease> leases_;
  size_t size_ = 0;
  LeaseIndex touched_ = 0;
  LeaseIndex free_ = kNone;
  LeaseIndex due_head_ = kNone, due_tail_ = kNone;
};

}  // namespace headrace::engine
