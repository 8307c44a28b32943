#include "engine/sweeper.h"

namespace headrace::engine {

Sweeper::Sweeper(const Parts& parts) : p_(parts) {
  parts.cache->Watch(&walk_);
}

uint64_t Sweeper::Clear(NamespaceId name_space) {
  const uint64_t generation = p_.namespaces->Bump(name_space);
  sweeping_ = looking_ = true;  // once around from here
  wrapped_ = false;
  sweep_stop_ = sweep_next_;
  return generation;
}

Result<bool> Sweeper::Purge(NamespaceId name_space, const BlockHash& hash) {
  Namespace& ns = (*p_.namespaces)[name_space];
  const BlockKey key{name_space, ns.generation_low(), hash};
  const BlockIndex block = p_.cache->Find(key);
  if (block == kNone) return false;
  for (const Root& root : roots_) {
    if (root.block == block) return true;
  }
  if (roots_.size() >= p_.context->limits.max_purges) {
    ++p_.context->stats.limit_purges;
    ++p_.context->stats.limit_hits;
    return Fail(Errc::kLimit, "max-purges reached: ask again");
  }
  p_.cache->Pin(block);
  roots_.push_back({key, (*p_.cache)[block].depth, block});
  ++ns.purges;
  ++ns.purge_count;
  return true;
}

void Sweeper::RunPurge() {
  while (!roots_.empty() && !p_.context->spent()) {
    const Root& root = roots_.front();
    if (!walking_) {
      walking_ = true;
      if (!(*p_.cache)[root.block].is(kZombie)) walk_.Start(root.block);
    }
    if (walk_.done()) {
      HR_CHECK((*p_.cache)[root.block].is(kZombie));
      HR_CHECK((*p_.namespaces)[root.key.name_space].purges > 0);
      --(*p_.namespaces)[root.key.name_space].purges;
      p_.cache->Unpin(root.block);
      roots_.pop_front();
      walking_ = false;
      continue;
    }
    const BlockIndex leaf = p_.cache->NextLeaf(&walk_);
    if (leaf == kNone || !p_.leasing->EndAllOn(leaf)) return;
    p_.cache->Remove(leaf, RemoveReason::kPurged);
    p_.context->Spend(2);
  }
}

void Sweeper::RunSweep() {
  for (uint32_t looked = 0; looking_ && looked < p_.context->limits.slice_sweep; ++looked) {
    if (p_.context->spent()) return;
    if (looked % 32 == 0) p_.context->Spend(1);
    // Records are added at the end meanwhile: only having been everywhere tells that it is done.
    if (sweep_next_ >= p_.cache->table().touched()) {
      sweep_next_ = 0;
      wrapped_ = true;
    }
    if (wrapped_ && sweep_next_ >= sweep_stop_) {
      looking_ = false;
      return;
    }
    if (p_.cache->IsStaleLeaf(sweep_next_)) {
      if (!p_.leasing->EndAllOn(sweep_next_)) return;
      p_.cache->Remove(sweep_next_, RemoveReason::kCleared);
      p_.context->Spend(2);
    }
    ++sweep_next_;
  }
}

void Sweeper::RunBackground() {
  RunPurge();
  RunSweep();
  if (!sweeping_ || looking_ || p_.cache->reaping()) return;
  sweeping_ = false;
  p_.namespaces->AllSwept();
}

void Sweeper::CountPins(std::vector<uint32_t>* pins) const {
  for (const Root& root : roots_) ++(*pins)[root.block];
}

}  // namespace headrace::engine
