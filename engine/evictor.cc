#include "engine/evictor.h"

namespace headrace::engine {

namespace {
constexpr int kEvictUnits = 2;
constexpr Duration kDrainPause = milliseconds(100);  // for a page that something in use keeps
constexpr Duration kWaterPause = milliseconds(10);   // when nothing may go
constexpr uint32_t kDrainLooked = 4096;              // pages in one search
}  // namespace

Evictor::Evictor(const Parts& parts) : p_(parts) {
  drain_again_.resize(parts.slab->num_pages());
  parts.cache->Watch(&drain_walk_);
}

bool Evictor::DropHiddenOf(SizeClass size_class, Duration older_than) {
  const BlockIndex hidden = p_.cache->OldestHidden(size_class, older_than);
  if (hidden == kNone) return false;
  p_.cache->DropHidden(hidden);
  p_.context->Spend(kEvictUnits);
  return true;
}

bool Evictor::EvictOneOf(SizeClass size_class, bool* more) {
  const EvictionPolicy::Pick pick = p_.policy->NextVictim(size_class);
  p_.context->Spend(pick.units);
  *more = pick.more;
  if (pick.block == kNone) return false;
  const int64_t access = (*p_.cache)[pick.block].last_access;
  p_.cache->Evict(pick.block);
  p_.context->Spend(kEvictUnits);
  Rebalance(size_class, access);
  return true;
}

Evictor::Room Evictor::MakeRoom(SizeClass size_class) {
  uint32_t evicted = 0;
  while (!p_.slab->HasRoom(size_class)) {
    if (p_.context->spent() || evicted >= p_.context->limits.slice_evictions) return Room::kLater;
    ++evicted;
    if (DropHiddenOf(size_class, p_.context->limits.hidden_grace)) continue;
    bool more = false;
    if (EvictOneOf(size_class, &more)) continue;
    if (more) return Room::kLater;
    if (DropHiddenOf(size_class, Duration(0))) continue;
    // This size has nothing to give: a page of another one has to go.
    if (drain_page_ == kNone && !StartDrain(size_class)) return Room::kNothing;
    RunDrain();
  }
  return Room::kReady;
}

bool Evictor::EvictOwn(SizeClass size_class, InstanceId instance, Quotas::Over over) {
  const TenantId tenant = p_.quotas->tenant_of(instance);
  const auto owned = [&](BlockIndex block) {
    const InstanceId owner = p_.slab->record((*p_.cache)[block].first_slot).owner;
    return over == Quotas::Over::kInstance ? owner == instance
                                           : p_.quotas->tenant_of(owner) == tenant;
  };
  const EvictionPolicy::Pick pick = p_.policy->NextVictimAmong(size_class, owned);
  p_.context->Spend(pick.units + kEvictUnits);
  if (pick.block == kNone) return false;
  p_.cache->Evict(pick.block);
  return true;
}

// The water mark.

void Evictor::WatchWater() {
  const Stats& stats = p_.context->stats;
  const double mark = p_.context->limits.high_water * static_cast<double>(stats.ready_bytes);
  if (above_water_ || p_.context->now < water_retry_) return;
  above_water_ = stats.used_bytes > 0 && static_cast<double>(stats.used_bytes) > mark;
}

Evictor::Coldest Evictor::FindColdest(ClassMask skip) {
  Coldest coldest;
  for (SizeClass c = 0; c < p_.slab->num_classes(); ++c) {
    if ((skip >> c & 1) != 0 || p_.slab->pages_of(c) == 0) continue;
    const EvictionPolicy::Pick pick = p_.policy->NextVictim(c);
    p_.context->Spend(pick.units / 2);
    coldest.more = coldest.more || pick.more;
    if (pick.block == kNone) continue;
    const int64_t access = (*p_.cache)[pick.block].last_access;
    if (coldest.block != kNone && access >= (*p_.cache)[coldest.block].last_access) continue;
    coldest = {pick.block, c, coldest.more};
  }
  return coldest;
}

void Evictor::RunWater() {
  const Stats& stats = p_.context->stats;
  const double mark = p_.context->limits.low_water * static_cast<double>(stats.ready_bytes);
  for (uint32_t evicted = 0; above_water_ && !p_.context->spent(); ++evicted) {
    if (static_cast<double>(stats.used_bytes) <= mark) {
      above_water_ = false;
      return;
    }
    if (evicted >= p_.context->limits.slice_evictions) return;
    const Coldest coldest = FindColdest(0);
    if (coldest.block == kNone && coldest.more) return;
    if (coldest.block == kNone) {
      above_water_ = false;
      water_retry_ = p_.context->now + kWaterPause;
      return;
    }
    if (DropHiddenOf(coldest.size_class, p_.context->limits.hidden_grace)) continue;
    p_.cache->Evict(coldest.block);
    p_.context->Spend(kEvictUnits);
  }
}

// Pages from one size to another.

bool Evictor::StartDrain(SizeClass for_class) {
  PageIndex best = kNone;
  uint32_t best_used = 0;
  const uint32_t pages = p_.slab->num_pages();
  const uint32_t looked = std::min(pages, kDrainLooked);
  for (uint32_t i = 0; i < looked; ++i) {
    drain_search_ = drain_search_ + 1 < pages ? drain_search_ + 1 : 0;
    const Slab::PageView page = p_.slab->page(drain_search_);
    if (page.size_class == kNone || page.size_class == for_class) continue;
    if (drain_again_[drain_search_] > p_.context->now) continue;
    if (best != kNone && page.used >= best_used) continue;
    best = drain_search_;
    best_used = page.used;
  }
  p_.context->Spend(1 + static_cast<int>(looked / 64));
  if (best == kNone) return false;
  Drain(best);
  return true;
}

void Evictor::Drain(PageIndex page) {
  HR_CHECK(drain_page_ == kNone);
  p_.slab->StartDrain(page);
  drain_page_ = page;
  drain_slot_ = 0;
  drain_walk_ = {};
}

void Evictor::StopDrain() {
  p_.slab->StopDrain(drain_page_);
  drain_again_[drain_page_] = p_.context->now + kDrainPause;
  drain_page_ = kNone;
  drain_walk_ = {};
}

// Finds a block with a part on the page; false when none may be taken.
bool Evictor::NextDrainBlock() {
  const uint32_t touched = p_.slab->page(drain_page_).touched;
  for (; drain_slot_ < touched; ++drain_slot_) {
    if (drain_slot_ % 16 == 0) p_.context->Spend(1);
    const SlotRecord& record = p_.slab->record(p_.slab->first_slot(drain_page_) + drain_slot_);
    if (record.use == SlotUse::kFree) continue;
    if ((*p_.cache)[record.block].is(kZombie)) return false;
    drain_walk_.Start(record.block);
    return true;
  }
  return false;
}

// Removes a block that nothing follows; false when it is in use.
bool Evictor::DrainLeaf(BlockIndex leaf) {
  const Block& block = (*p_.cache)[leaf];
  if (block.evictable()) {
    p_.cache->Evict(leaf);
  } else if (block.pins == 0 && block.is(kHidden)) {
    p_.cache->DropHidden(leaf);
  } else if (block.pins == 0 && block.ghost()) {
    p_.cache->Remove(leaf, RemoveReason::kFailed);
  } else {
    return false;
  }
  p_.context->Spend(kEvictUnits);
  return true;
}

void Evictor::RunDrain() {
  while (drain_page_ != kNone && !p_.context->spent()) {
    if (!p_.slab->page(drain_page_).draining) {  // empty, and back in the common pool
      ++p_.context->stats.reclaimed_pages;
      drain_page_ = kNone;
      drain_walk_ = {};
      return;
    }
    if (drain_walk_.done() && !NextDrainBlock()) {
      StopDrain();
      return;
    }
    const BlockIndex leaf = p_.cache->NextLeaf(&drain_walk_);
    if (leaf != kNone && !DrainLeaf(leaf)) StopDrain();
  }
}

// A size that lives from its own cold blocks alone would never grow. Once a page's worth of them
// was evicted, look whether another size keeps colder ones, and take that page.
void Evictor::Rebalance(SizeClass size_class, int64_t victim_access) {
  if (++pressed_[size_class] < p_.slab->slots_of_page(size_class)) return;
  pressed_[size_class] = 0;
  if (drain_page_ != kNone) return;
  const Coldest other = FindColdest(1u << size_class);
  if (other.block == kNone) return;
  const Block& block = (*p_.cache)[other.block];
  if (block.last_access >= victim_access) return;
  for (SlotIndex s = block.first_slot; s != kNone; s = p_.slab->record(s).next) {
    if (p_.slab->class_of(s) != other.size_class) continue;
    const PageIndex page = p_.slab->page_of(s);
    if (drain_again_[page] <= p_.context->now) Drain(page);
    return;
  }
}

void Evictor::RunBackground() {
  RunDrain();
  WatchWater();
  RunWater();
}

}  // namespace headrace::engine
