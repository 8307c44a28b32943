// What the cache does by slices: hidden blocks, ghosts, and children of blocks that became visible.
#include "engine/cache.h"

namespace headrace::engine {

void BlockCache::JoinHidden(BlockIndex index) {
  Block& block = table_[index];
  HR_CHECK(!block.is(kHidden) && !block.visible());
  block.flags |= kHidden;
  block.last_access = p_.context->now_nanos();
  hidden_.PushBack(&table_, index);
  ++p_.context->stats.blocks_hidden;
  if (block.pins == 0) ++hidden_waiting_;
}

void BlockCache::LeaveHidden(BlockIndex index) {
  Block& block = table_[index];
  HR_CHECK(block.is(kHidden));
  block.flags &= static_cast<uint16_t>(~kHidden);
  hidden_.Erase(&table_, index);
  --p_.context->stats.blocks_hidden;
  if (block.pins == 0) --hidden_waiting_;
}

void BlockCache::DropHidden(BlockIndex index) {
  Block& block = table_[index];
  HR_CHECK(block.is(kHidden) && block.pins == 0);
  if (block.first_child == kNone) {
    Remove(index, RemoveReason::kFailed);
    return;
  }
  // Its children may still come of age under a copy that is saved later.
  LeaveHidden(index);
  FreeParts(index);
  HR_CHECK(block.ghost());
}

bool BlockCache::HiddenIsDue() const {
  if (hidden_waiting_ > p_.context->limits.max_hidden_blocks) return true;
  return !hidden_.empty() &&
         FromWire(table_[hidden_.front()].last_access) + p_.context->limits.max_hidden <=
             p_.context->now;
}

void BlockCache::ExpireHidden() {
  while (HiddenIsDue() && !p_.context->spent()) {
    p_.context->Spend(2);
    const BlockIndex index = hidden_.front();
    if (table_[index].pins > 0) {  // its transfer has a deadline of its own
      LeaveHidden(index);
      JoinHidden(index);
      continue;
    }
    Stats& stats = p_.context->stats;
    if (hidden_waiting_ > p_.context->limits.max_hidden_blocks) {
      ++stats.limit_hidden;
      ++stats.limit_hits;
    }
    ++stats.hidden_expired_blocks;
    DropHidden(index);
  }
}

BlockIndex BlockCache::OldestHidden(SizeClass size_class, Duration older_than) const {
  constexpr int kLooked = 16;
  BlockIndex index = hidden_.front();
  for (int i = 0; i < kLooked && index != kNone; ++i, index = table_[index].line_next) {
    const Block& block = table_[index];
    if (FromWire(block.last_access) + older_than > p_.context->now) return kNone;
    if (block.pins == 0 && (block.classes >> size_class & 1) != 0) return index;
  }
  return kNone;
}

// A ghost that stands for nobody's parent any more, or a block that a clear left behind.
bool BlockCache::IsDoomed(const Block& block) const {
  if (!block.is(kInUse) || block.is(kZombie) || block.first_child != kNone) return false;
  if (IsStale(block)) return true;
  return block.ghost() && block.pins == 0;
}

void BlockCache::MayReap(BlockIndex index) {
  Block& block = table_[index];
  if (block.is(kReaping) || !IsDoomed(block)) return;
  block.flags |= kReaping;
  reap_.PushBack(&table_, index);
}

void BlockCache::StopReap(BlockIndex index) {
  Block& block = table_[index];
  if (!block.is(kReaping)) return;
  block.flags &= static_cast<uint16_t>(~kReaping);
  reap_.Erase(&table_, index);
}

void BlockCache::RunReap() {
  while (!reap_.empty() && !p_.context->spent()) {
    const BlockIndex index = reap_.front();
    StopReap(index);
    const Block& block = table_[index];
    p_.context->Spend(2);
    if (!IsDoomed(block)) continue;
    Remove(index, IsStale(block) ? RemoveReason::kCleared : RemoveReason::kFailed);
  }
}

void BlockCache::StopReveal(BlockIndex index) {
  Block& block = table_[index];
  if (!block.is(kRevealing)) return;
  if (reveal_.front() == index) reveal_next_ = kNotStarted;
  block.flags &= static_cast<uint16_t>(~kRevealing);
  reveal_.Erase(&table_, index);
}

void BlockCache::RunReveal() {
  while (!reveal_.empty() && !p_.context->spent()) {
    const BlockIndex index = reveal_.front();
    if (reveal_next_ == kNotStarted) reveal_next_ = table_[index].first_child;
    while (reveal_next_ != kNone && !p_.context->spent()) {
      const BlockIndex child = reveal_next_;
      reveal_next_ = table_[child].next_sibling;
      p_.context->Spend(1);
      TryReveal(child);
    }
    if (reveal_next_ == kNone) StopReveal(index);
  }
}

void BlockCache::RunBackground() {
  RunReveal();
  RunReap();
  ExpireHidden();
  while (!warm_ && !p_.context->spent()) {
    warm_ = !table_.WarmIndex();
    p_.context->Spend(16);
  }
}

bool BlockCache::HasBackground() const {
  return !warm_ || !reveal_.empty() || !reap_.empty() || HiddenIsDue();
}

std::optional<Time> BlockCache::NextDeadline() const {
  if (hidden_.empty()) return std::nullopt;
  return FromWire(table_[hidden_.front()].last_access) + p_.context->limits.max_hidden;
}

}  // namespace headrace::engine
