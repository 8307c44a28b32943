#include "engine/cache.h"

namespace headrace::engine {

Result<std::unique_ptr<BlockCache>> BlockCache::Create(const Parts& parts, uint64_t seed) {
  std::unique_ptr<BlockCache> cache(new BlockCache(parts, seed));
  const Limits& limits = parts.context->limits;
  // Every block with a part has a slot; ghosts come on top.
  const uint64_t slots = parts.slab->num_slots();
  const uint64_t ghosts = std::min<uint64_t>(slots, limits.max_hidden_blocks) + 64;
  HR_TRY(cache->table_, BlockTable::Create(slots + ghosts, seed));
  HR_RETURN_IF_ERROR(parts.policy->Attach(&cache->table_));
  cache->origins_.reserve(
      std::min<uint64_t>(slots, limits.max_hidden_blocks + limits.max_copies_in_flight));
  return cache;
}

Result<BlockIndex> BlockCache::Enter(const BlockKey& key, uint32_t depth, BlockIndex parent) {
  const Namespace& ns = (*p_.namespaces)[key.name_space];
  HR_CHECK(parent == kNone || table_[parent].depth < depth);
  HR_CHECK(!ns.closed() || (parent == kNone) == (depth == 0));
  BlockIndex index = table_.Find(key);
  if (index == kNone) {
    if (table_.full()) return Fail(Errc::kNoSpace, "no room for another block");
    index = table_.Add(key, depth);
    ++(*p_.namespaces)[key.name_space].blocks;
  }
  Block& block = table_[index];
  if (block.depth != depth) return Fail(Errc::kInvalid, "depth: the block is known at another one");
  if (!block.is(kKnownPlace)) {
    if (parent != kNone) table_.Link(index, parent);
    block.flags |= kKnownPlace;
  } else if (ns.closed() && block.parent != parent) {
    return Fail(Errc::kInvalid, "parent: the block is known with another one");
  }
  return index;
}

Result<BlockIndex> BlockCache::EnterParent(const BlockKey& key, uint32_t depth) {
  const BlockIndex known = table_.Find(key);
  if (known != kNone) {
    if (table_[known].depth != depth) {
      return Fail(Errc::kInvalid, "depth: the parent is known at another one");
    }
    return known;
  }
  if (table_.full()) return Fail(Errc::kNoSpace, "no room for another block");
  const BlockIndex index = table_.Add(key, depth);
  ++(*p_.namespaces)[key.name_space].blocks;
  if (depth == 0) table_[index].flags |= kKnownPlace;
  return index;
}

void BlockCache::SetOrigin(BlockIndex index, Origin origin) {
  Block& block = table_[index];
  if (block.visible() || block.is(kHasOrigin)) return;
  block.flags |= kHasOrigin;
  origins_[index] = std::move(origin);
}

void BlockCache::Pin(BlockIndex index) {
  Block& block = table_[index];
  if (block.pins++ > 0) return;
  if (block.is(kHidden)) --hidden_waiting_;
  if (block.visible()) p_.policy->StoppedEvictable(index);
}

void BlockCache::Unpin(BlockIndex index) {
  Block& block = table_[index];
  HR_CHECK(block.is(kInUse) && block.pins > 0);
  if (--block.pins > 0) return;
  if (block.is(kZombie)) {
    FreeParts(index);
    FreeRecord(index);
    return;
  }
  if (block.is(kHidden)) ++hidden_waiting_;
  MayEvict(index);
  MayReap(index);
}

void BlockCache::LeaseChanged(BlockIndex index) {
  if (table_[index].first_lease != kNone) {
    p_.policy->StoppedEvictable(index);
  } else {
    MayEvict(index);
  }
}

void BlockCache::Touch(BlockIndex index) {
  table_[index].last_access = p_.context->now_nanos();
  p_.policy->Touched(index);
}

void BlockCache::MayEvict(BlockIndex index) {
  if (table_[index].evictable()) p_.policy->BecameEvictable(index);
}

bool BlockCache::IsComplete(const Block& block) const {
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  return ns.closed() ? block.full_complete == ns.full_parts : block.complete > 0;
}

void BlockCache::TryReveal(BlockIndex index) {
  const Block& block = table_[index];
  if (block.visible() || block.is(kZombie) || !IsComplete(block)) return;
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  if (IsStale(block)) return;  // the sweep will come by
  if (ns.closed() && block.depth > 0) {
    HR_CHECK(block.parent != kNone);
    if (!table_[block.parent].visible()) return;
  }
  SetVisible(index);
}

void BlockCache::SetVisible(BlockIndex index) {
  Block& block = table_[index];
  HR_CHECK(block.is(kHidden) && !block.visible());
  LeaveHidden(index);
  const bool linked = block.parent != kNone;
  block.chain_sum =
      (linked ? table_[block.parent].chain_sum : 0) + chain_sum_.Term(block.hash, block.depth);
  block.flags |= kVisible;
  block.last_access = p_.context->now_nanos();
  table_.MarkVisible(index, true);
  Stats& stats = p_.context->stats;
  const uint64_t payload = LivePayload(block);
  ++stats.blocks_visible;
  stats.live_bytes += payload;
  (*p_.namespaces)[block.name_space].live_bytes += payload;
  EndStale(index);
  EmitStored(index);
  if (block.first_child != kNone && !block.is(kRevealing)) {
    block.flags |= kRevealing;
    reveal_.PushBack(&table_, index);
  }
  MayEvict(index);
}

// Of one hash, listeners hear stored and removed in turns: never two of a kind after each other.
void BlockCache::EndStale(BlockIndex index) {
  const Block& block = table_[index];
  const Namespace& ns = (*p_.namespaces)[block.name_space];
  for (uint64_t old = ns.swept_generation; old < ns.generation; ++old) {
    p_.context->Spend(1);
    const BlockIndex stale =
        table_.Find({block.name_space, static_cast<uint32_t>(old), block.Hash()});
    if (stale == kNone || !table_[stale].visible()) continue;
    EmitRemoved(stale, RemoveReason::kCleared);
    table_[stale].flags |= kToldGone;
  }
}

void BlockCache::EmitStored(BlockIndex index) {
  Block& block = table_[index];
  BlockStored event{.name_space = block.name_space, .hash = block.Hash(), .depth = block.depth};
  if (block.parent != kNone) event.parent = table_[block.parent].Hash();
  if (block.is(kHasOrigin)) {
    auto it = origins_.find(index);
    HR_CHECK(it != origins_.end());
    event.lora_id = it->second.lora_id;
    event.salt_id = it->second.salt_id;
    event.tokens = std::move(it->second.tokens);
    origins_.erase(it);
    block.flags &= static_cast<uint16_t>(~kHasOrigin);
  }
  p_.context->effects->events.emplace_back(std::move(event));
}

void BlockCache::EmitRemoved(BlockIndex index, RemoveReason reason) {
  const Block& block = table_[index];
  if (block.is(kToldGone)) return;
  if (IsStale(block)) reason = RemoveReason::kCleared;
  p_.context->effects->events.emplace_back(BlockRemoved{block.name_space, block.Hash(), reason});
}

void BlockCache::CountRemoval(const Block& block, RemoveReason reason, uint64_t bytes) {
  Stats& stats = p_.context->stats;
  if (IsStale(block)) {
    ++stats.cleared_blocks;
  } else if (reason == RemoveReason::kPurged) {
    ++stats.purged_blocks;
  } else if (reason == RemoveReason::kEvicted) {
    ++stats.evicted_blocks;
    stats.evicted_bytes += bytes;
    evicted_unused_ += bytes;
  }
}

void BlockCache::LeaveParent(BlockIndex index) {
  const BlockIndex parent = table_[index].parent;
  if (parent == kNone) return;
  if (reveal_next_ == index) reveal_next_ = table_[index].next_sibling;
  const int64_t last_access = table_[index].last_access;
  table_.Unlink(index);
  Block& block = table_[parent];
  if (block.first_child != kNone) return;
  // A chain that was used at its end was used as a whole.
  if (block.visible()) block.last_access = std::max(block.last_access, last_access);
  MayEvict(parent);
  MayReap(parent);
}

void BlockCache::Remove(BlockIndex index, RemoveReason reason) {
  Block& block = table_[index];
  HR_CHECK(block.is(kInUse) && !block.is(kZombie) && block.first_child == kNone);
  for (SubtreeWalk* walk : walks_) {
    if (walk->at == index) walk->at = block.parent;
    if (walk->root == index) *walk = {};
  }
  listener_->BlockGoes(index);
  HR_CHECK(block.first_lease == kNone);
  Stats& stats = p_.context->stats;
  if (!block.ghost()) CountRemoval(block, reason, SlotBytes(block));
  if (block.visible()) {
    EmitRemoved(index, reason);
    const uint64_t payload = LivePayload(block);
    --stats.blocks_visible;
    stats.live_bytes -= payload;
    (*p_.namespaces)[block.name_space].live_bytes -= payload;
    p_.policy->StoppedEvictable(index);
  } else if (block.is(kHidden)) {
    LeaveHidden(index);
  }
  if (block.is(kHasOrigin)) origins_.erase(index);
  StopReveal(index);
  StopReap(index);
  table_.Unindex(index);
  LeaveParent(index);
  block.flags = kInUse | kZombie;
  if (block.pins > 0) {
    ForgetParts(index);
    return;
  }
  FreeParts(index);
  FreeRecord(index);
}

void BlockCache::Evict(BlockIndex index) {
  HR_CHECK(table_[index].evictable());
  Remove(index, RemoveReason::kEvicted);
}

void BlockCache::FreeRecord(BlockIndex index) {
  Namespace& ns = (*p_.namespaces)[table_[index].name_space];
  HR_CHECK(ns.blocks > 0);
  --ns.blocks;
  table_.Free(index);
}

BlockIndex BlockCache::NextLeaf(SubtreeWalk* walk) {
  while (!walk->done() && !p_.context->spent()) {
    const Block& block = table_[walk->at];
    if (block.first_child == kNone) return walk->at;
    walk->at = block.first_child;
    p_.context->Spend(1);
  }
  return kNone;
}

}  // namespace headrace::engine
