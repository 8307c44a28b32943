#include "engine/lease_table.h"

namespace headrace::engine {

Result<LeaseTable> LeaseTable::Create(uint32_t max_leases) {
  LeaseTable table;
  HR_TRY(table.leases_, ZeroedArray<Lease>::Create(max_leases));
  return table;
}

LeaseIndex LeaseTable::Add() {
  LeaseIndex index = free_;
  if (index != kNone) {
    free_ = leases_[index].free_next;
  } else {
    if (touched_ == leases_.size()) return kNone;
    index = touched_++;
  }
  Lease& lease = leases_[index];
  HR_CHECK(lease.id == 0);
  const uint32_t serial = lease.serial + 1;
  lease = {};
  lease.serial = serial;
  lease.id = LeaseId{serial} << 32 | index;
  lease.block_prev = lease.block_next = kNone;
  lease.session_prev = lease.session_next = kNone;
  lease.due_prev = lease.due_next = kNone;
  ++size_;
  return index;
}

void LeaseTable::Free(LeaseIndex index) {
  Lease& lease = leases_[index];
  HR_CHECK(lease.id != 0 && !lease.due_listed);
  lease.id = 0;
  lease.free_next = free_;
  free_ = index;
  --size_;
}

Result<LeaseIndex> LeaseTable::Find(LeaseId id) const {
  const auto index = static_cast<LeaseIndex>(id);
  const auto serial = static_cast<uint32_t>(id >> 32);
  if (serial == 0 || index >= touched_ || serial > leases_[index].serial) {
    return Fail(Errc::kNotFound, "no such lease");
  }
  if (leases_[index].id != id) return Fail(Errc::kGone, "the lease is over");
  return index;
}

void LeaseTable::LinkBlock(LeaseIndex index, LeaseIndex* head) {
  leases_[index].block_next = *head;
  if (*head != kNone) leases_[*head].block_prev = index;
  *head = index;
}

void LeaseTable::UnlinkBlock(LeaseIndex index, LeaseIndex* head) {
  Lease& lease = leases_[index];
  (lease.block_prev == kNone ? *head : leases_[lease.block_prev].block_next) = lease.block_next;
  if (lease.block_next != kNone) leases_[lease.block_next].block_prev = lease.block_prev;
  lease.block_prev = lease.block_next = kNone;
}

void LeaseTable::LinkSession(LeaseIndex index, LeaseIndex* head) {
  leases_[index].session_next = *head;
  if (*head != kNone) leases_[*head].session_prev = index;
  *head = index;
}

void LeaseTable::UnlinkSession(LeaseIndex index, LeaseIndex* head) {
  Lease& lease = leases_[index];
  (lease.session_prev == kNone ? *head : leases_[lease.session_prev].session_next) =
      lease.session_next;
  if (lease.session_next != kNone) leases_[lease.session_next].session_prev = lease.session_prev;
  lease.session_prev = lease.session_next = kNone;
}

void LeaseTable::LinkDue(LeaseIndex index) {
  Lease& lease = leases_[index];
  HR_CHECK(!lease.due_listed);
  HR_CHECK(due_tail_ == kNone || leases_[due_tail_].deadline <= lease.deadline);
  lease.due_listed = true;
  lease.due_prev = due_tail_;
  lease.due_next = kNone;
  (due_tail_ == kNone ? due_head_ : leases_[due_tail_].due_next) = index;
  due_tail_ = index;
}

void LeaseTable::UnlinkDue(LeaseIndex index) {
  Lease& lease = leases_[index];
  if (!lease.due_listed) return;
  lease.due_listed = false;
  (lease.due_prev == kNone ? due_head_ : leases_[lease.due_prev].due_next) = lease.due_next;
  (lease.due_next == kNone ? due_tail_ : leases_[lease.due_next].due_prev) = lease.due_prev;
  lease.due_prev = lease.due_next = kNone;
}

}  // namespace headrace::engine
