#include "indexer/memory_index.h"

#include <algorithm>
#include <bit>

namespace headrace::indexer {
namespace {

// Of a byte budget: three quarters are for the blocks and their tables, at what they take at worst;
// the rest is for what blocks share or only some of them have.
constexpr uint64_t kWorstBlockBytes = 43;
constexpr uint64_t SideShare(uint64_t max_bytes) {
  return max_bytes / 4;
}
uint32_t MaxSlots(uint64_t max_bytes) {
  if (max_bytes == 0) return KeyTable::kMaxRecords;
  // Chunks that are begun, and the first pages of empty tables.
  const uint64_t fixed = 9 * ChunkSource::kSmallBytes;
  const uint64_t slots = (max_bytes - SideShare(max_bytes) - fixed) / kWorstBlockBytes;
  return static_cast<uint32_t>(std::min<uint64_t>(slots, KeyTable::kMaxRecords));
}
size_t ChunkBytes(uint64_t max_bytes) {
  return max_bytes == 0 ? ChunkSource::kLargeBytes : ChunkSource::kSmallBytes;
}

}  // namespace

Result<std::unique_ptr<MemoryIndex>> MemoryIndex::Create(const Options& options) {
  if (options.max_bytes != 0 && options.max_bytes < kMinBudgetBytes) {
    return Fail(Errc::kInvalid, "the byte budget of the index is below 8 MiB");
  }
  return std::unique_ptr<MemoryIndex>(new MemoryIndex(options));
}

MemoryIndex::MemoryIndex(const Options& options)
    : max_bytes_(options.max_bytes),
      max_slots_(MaxSlots(options.max_bytes)),
      blocks_source_(ChunkBytes(options.max_bytes)),
      side_source_(ChunkBytes(options.max_bytes)),
      block_pages_(&blocks_source_),
      side_pages_(&side_source_),
      by_key_(&blocks_source_, &block_pages_, &request_keys_, options.seed),
      by_engine_(&blocks_source_, &block_pages_, &engine_keys_, options.seed + 1),
      lines_(&blocks_source_),
      sets_(&side_source_, &side_pages_, options.seed + 2),
      links_(&side_source_, &side_pages_, options.seed + 3) {}

MemoryIndex::~MemoryIndex() = default;

HolderId MemoryIndex::AddHolder(const HolderInfo& info) {
  return holders_.Add(info);
}

void MemoryIndex::EndHolder(HolderId holder) {
  if (!holders_.Lives(holder)) return;
  holders_.End(holder);
  ended_.push_back(holder);
}

// ---- Add ----

void MemoryIndex::FetchBatch(Batch* batch) {
  const size_t count = batch->keys.size();
  for (size_t i = 0; i < count; ++i) {
    batch->key_hash[i] = by_key_.Hash(batch->keys[i]);
    by_key_.PrefetchSegment(batch->key_hash[i]);
  }
  for (size_t i = 0; i < count; ++i) batch->key_aim[i] = by_key_.AimAt(batch->key_hash[i]);
  batch->key_resizes = by_key_.resizes();
  batch->fresh = 0;
  for (size_t i = 0; i < count; ++i) {
    batch->slot[i] = by_key_.FirstCandidate(batch->key_aim[i]);
    if (batch->slot[i] != kNone) {
      PrefetchSlot(batch->slot[i]);
    } else {
      batch->fresh |= 1u << i;
    }
  }
}

// What the engine calls blocks that are there stands beside them; a new name needs the table.
void MemoryIndex::FetchFreshEngines(Batch* batch) {
  if (batch->engine.empty()) batch->fresh = 0;
  for (uint32_t left = batch->fresh; left != 0; left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    batch->engine_hash[i] = by_engine_.Hash(batch->engine[i]);
    by_engine_.PrefetchSegment(batch->engine_hash[i]);
  }
  for (uint32_t left = batch->fresh; left != 0; left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    batch->engine_aim[i] = by_engine_.AimAt(batch->engine_hash[i]);
  }
  batch->engine_resizes = by_engine_.resizes();
}

void MemoryIndex::Expect(std::span<const EngineKey> engine) const {
  // The tables' segments mostly are in the caches. More lines than those would push each other out.
  constexpr size_t kMost = 128;
  for (const EngineKey key : engine.first(std::min(engine.size(), kMost))) {
    by_engine_.PrefetchBucket(by_engine_.Hash(key));
  }
}

void MemoryIndex::Add(HolderId holder, std::span<const EngineKey> engine,
                      std::span<const RequestKey> keys) {
  if (!holders_.Lives(holder)) return;
  const bool paired = engine.size() == keys.size();
  for (size_t at = 0; at < keys.size(); at += kAtOnce) {
    const size_t count = std::min(kAtOnce, keys.size() - at);
    Batch batch;
    batch.keys = keys.subspan(at, count);
    if (paired) batch.engine = engine.subspan(at, count);
    if (max_bytes_ != 0 || used_slots_ + count > max_slots_) MakeRoom(count);
    AddBatch(holder, &batch);
  }
  if (!paired && !engine.empty() && !keys.empty()) LinkUnequal(engine, keys);
}

void MemoryIndex::AddBatch(HolderId holder, Batch* batch) {
  FetchBatch(batch);
  FetchFreshEngines(batch);
  for (size_t i = 0; i < batch->keys.size(); ++i) {
    if (batch->keys[i] == 0) continue;
    batch->slot[i] = FindOrMake(batch, i);
    AddCopy(batch->slot[i], holder);
  }
  for (size_t i = 0; i < batch->engine.size(); ++i) {
    if (batch->keys[i] == 0 || EngineAt(batch->slot[i]) == batch->engine[i]) continue;
    if ((batch->fresh & 1u << i) != 0) {
      LinkFresh(batch, i);
    } else {
      LinkEngine(batch->slot[i], batch->engine[i]);
    }
  }
}

uint32_t MemoryIndex::FindOrMake(Batch* batch, size_t i) {
  const RequestKey key = batch->keys[i];
  const uint32_t guess = batch->slot[i];
  if (guess != kNone && KeyAt(guess) == key) return guess;
  KeyTable::Aim& aim = batch->key_aim[i];
  if (by_key_.resizes() != batch->key_resizes) aim = by_key_.AimAt(batch->key_hash[i]);
  // It may have come a moment ago.
  const uint32_t found = by_key_.Search(aim, [&](uint32_t slot) { return KeyAt(slot) == key; });
  if (found != kNone) return found;
  const uint32_t slot = NewSlot(key);
  by_key_.Insert(aim, batch->key_hash[i], slot);
  return slot;
}

// It is in no table yet.
uint32_t MemoryIndex::NewSlot(RequestKey key) {
  uint32_t slot = free_slot_ - 1;
  if (free_slot_ != 0) {
    free_slot_ = static_cast<uint32_t>(At(slot).engine);
    if (free_slot_ != 0) PrefetchSlot(free_slot_ - 1);
  } else {
    slot = slots_++;
    HR_CHECK(slot < max_slots_);
    if (slot % kLineSlots == 0) HR_CHECK(lines_.Append() == slot / kLineSlots);
  }
  Slot block = At(slot);
  block.key = key;
  block.engine = 0;
  block.set = kEmptySet;
  block.flags = links_.HasKey(key) ? kLinked : 0;
  ++used_slots_;
  return slot;
}

void MemoryIndex::AddCopy(uint32_t slot, HolderId holder) {
  Slot block = At(slot);
  if (block.set != kEmptySet) block.flags |= kUsed;
  const SetId set = sets_.With(block.set, holder);
  if (set == block.set) {
    block.flags |= kCounted;
    ++extra_copies_[CopyName(slot, holder)];
    return;
  }
  sets_.Ref(set);
  if (block.set != kEmptySet) sets_.Unref(block.set);
  block.set = set;
}

void MemoryIndex::LinkFresh(Batch* batch, size_t i) {
  const EngineKey engine = batch->engine[i];
  Slot block = At(batch->slot[i]);
  KeyTable::Aim& aim = batch->engine_aim[i];
  if (by_engine_.resizes() != batch->engine_resizes) aim = by_engine_.AimAt(batch->engine_hash[i]);
  const auto is = [&](uint32_t slot) { return EngineAt(slot) == engine; };
  if (block.engine != 0 || by_engine_.Search(aim, is) != kNone || links_.HasEngine(engine)) {
    LinkEngine(batch->slot[i], engine);
    return;
  }
  block.engine = engine;
  by_engine_.Insert(aim, batch->engine_hash[i], batch->slot[i]);
}

void MemoryIndex::LinkEngine(uint32_t slot, EngineKey engine) {
  Slot block = At(slot);
  if (block.engine == engine || engine == 0) return;
  const uint64_t hash = by_engine_.Hash(engine);
  const uint32_t other = FindEngine(engine, hash);
  if (other != kNone) {  // it names a second block
    Slot first = At(other);
    by_engine_.Erase(hash, other);
    first.engine = 0;
    first.flags |= kLinked;
    links_.Add(engine, first.key);
  } else if (block.engine == 0 && !links_.HasEngine(engine)) {
    block.engine = engine;
    by_engine_.Insert(hash, slot);
    return;
  }
  links_.Add(engine, block.key);
  block.flags |= kLinked;
}

void MemoryIndex::LinkUnequal(std::span<const EngineKey> engine, std::span<const RequestKey> keys) {
  const size_t most = std::max(engine.size(), keys.size());
  for (size_t k = 0; k < most; ++k) {
    if (max_bytes_ != 0 && k % kAtOnce == 0) MakeRoom(kAtOnce);
    const RequestKey key = keys[k * keys.size() / most];
    const EngineKey name = engine[k * engine.size() / most];
    const uint32_t slot = key == 0 ? kNone : FindKey(key);
    if (slot != kNone) LinkEngine(slot, name);
  }
}

// ---- Remove ----

void MemoryIndex::FetchEngines(std::span<const EngineKey> engine, Batch* batch) const {
  for (size_t i = 0; i < engine.size(); ++i) {
    batch->engine_hash[i] = by_engine_.Hash(engine[i]);
    by_engine_.PrefetchSegment(batch->engine_hash[i]);
  }
  for (size_t i = 0; i < engine.size(); ++i) by_engine_.PrefetchBucket(batch->engine_hash[i]);
  for (size_t i = 0; i < engine.size(); ++i) {
    batch->slot[i] = by_engine_.FirstCandidate(batch->engine_hash[i]);
    if (batch->slot[i] != kNone) PrefetchSlot(batch->slot[i]);
  }
  // A block that nobody holds any more leaves the other table as well.
  for (size_t i = 0; i < engine.size(); ++i) {
    if (batch->slot[i] == kNone) continue;
    batch->key_hash[i] = by_key_.Hash(KeyAt(batch->slot[i]));
    by_key_.PrefetchBucket(batch->key_hash[i]);
  }
}

size_t MemoryIndex::Remove(HolderId holder, std::span<const EngineKey> engine) {
  if (!holders_.Lives(holder)) return 0;
  size_t taken = 0;
  for (size_t at = 0; at < engine.size(); at += kAtOnce) {
    const auto part = engine.subspan(at, std::min(kAtOnce, engine.size() - at));
    Batch batch;
    FetchEngines(part, &batch);
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] == 0) continue;
      const uint32_t slot = FindEngine(part[i], batch.engine_hash[i]);
      if (slot != kNone) {
        taken += TakeCopy(slot, holder);
      } else if (links_.HasEngine(part[i])) {
        std::vector<RequestKey> keys;
        links_.KeysOf(part[i], &keys);
        for (const RequestKey key : keys) taken += RemoveOne(holder, key);
      }
    }
  }
  return taken;
}

size_t MemoryIndex::RemoveKeys(HolderId holder, std::span<const RequestKey> keys) {
  if (!holders_.Lives(holder)) return 0;
  size_t taken = 0;
  for (size_t at = 0; at < keys.size(); at += kAtOnce) {
    Batch batch;
    batch.keys = keys.subspan(at, std::min(kAtOnce, keys.size() - at));
    FetchBatch(&batch);
    for (const RequestKey key : batch.keys) taken += RemoveOne(holder, key);
  }
  return taken;
}

size_t MemoryIndex::RemoveOne(HolderId holder, RequestKey key) {
  const uint32_t slot = key == 0 ? kNone : FindKey(key);
  return slot == kNone ? 0 : TakeCopy(slot, holder);
}

size_t MemoryIndex::TakeCopy(uint32_t slot, HolderId holder) {
  Slot block = At(slot);
  if ((block.flags & kCounted) != 0) {
    const auto extra = extra_copies_.find(CopyName(slot, holder));
    if (extra != extra_copies_.end()) {
      if (--extra->second == 0) extra_copies_.erase(extra);
      return 1;
    }
  }
  const SetId set = sets_.Without(block.set, holder);
  if (set == block.set) return 0;
  if (set != kEmptySet) sets_.Ref(set);
  sets_.Unref(block.set);
  block.set = set;
  if (set == kEmptySet) FreeSlot(slot);
  return 1;
}

// REQUIRES: its set is empty, nothing counts copies of it.
void MemoryIndex::FreeSlot(uint32_t slot) {
  Slot block = At(slot);
  HR_CHECK(block.set == kEmptySet && block.key != 0);
  const RequestKey key = block.key;
  by_key_.Erase(by_key_.Hash(key), slot);
  if (block.engine != 0) by_engine_.Erase(by_engine_.Hash(block.engine), slot);
  const bool linked = (block.flags & kLinked) != 0;
  block.key = 0;
  block.engine = free_slot_;
  block.flags = 0;
  free_slot_ = slot + 1;
  --used_slots_;
  if (linked) ForgetLinks(key);
}

// An engine key goes with the last of its blocks.
void MemoryIndex::ForgetLinks(RequestKey key) {
  forgotten_.clear();
  links_.EnginesOf(key, &forgotten_);
  for (const EngineKey engine : forgotten_) {
    resolved_.clear();
    links_.KeysOf(engine, &resolved_);
    const bool some = std::any_of(resolved_.begin(), resolved_.end(),
                                  [&](RequestKey named) { return FindKey(named) != kNone; });
    if (!some) links_.EraseEngine(engine);
  }
}

// ---- Reading ----

std::span<const RequestKey> MemoryIndex::Resolve(EngineKey engine) const {
  resolved_.clear();
  if (engine == 0) return {};
  const uint32_t slot = FindEngine(engine, by_engine_.Hash(engine));
  if (slot != kNone) {
    resolved_.push_back(KeyAt(slot));
  } else {
    links_.KeysOf(engine, &resolved_);
  }
  return resolved_;
}

std::vector<HolderId> MemoryIndex::Holders(RequestKey key) const {
  std::vector<HolderId> living;
  const uint32_t slot = key == 0 ? kNone : FindKey(key);
  if (slot == kNone) return living;
  sets_.ForEach(SetAt(slot), [&](HolderId holder) {
    if (holders_.Lives(holder)) living.push_back(holder);
  });
  return living;
}

uint64_t MemoryIndex::Visit(
    uint64_t cursor, size_t most,
    const std::function<void(RequestKey, EngineKey, std::span<const HolderId>)>& visit) const {
  std::vector<HolderId> living;
  std::vector<EngineKey> engines;
  for (auto slot = static_cast<uint32_t>(std::min<uint64_t>(cursor, slots_)); slot < slots_;
       ++slot) {
    const RequestKey key = KeyAt(slot);
    if (key == 0) continue;
    if (most-- == 0) return slot;
    living.clear();
    sets_.ForEach(SetAt(slot), [&](HolderId holder) {
      if (holders_.Lives(holder)) living.push_back(holder);
    });
    engines.assign(1, EngineAt(slot));
    if (engines[0] == 0) links_.EnginesOf(key, &engines);
    visit(key, engines.back(), living);
  }
  return 0;
}

uint32_t MemoryIndex::Lookup::Following(uint32_t ahead) const {
  const size_t last = keys.size() - 1;
  if (slots[last] >= kNoGuess - ahead) return kNoGuess;  // kNone too
  return last > 0 && slots[last] != slots[0] + last ? kNoGuess : slots[last] + ahead;
}

void MemoryIndex::LookupGuess(Lookup* lookup, uint32_t slot) const {
  const size_t count = lookup->keys.size();
  HR_CHECK(count <= kLookupKeys);
  lookup->missing = (1u << count) - 1;
  if (slot == kNoGuess || slot + count > slots_) return;
  lookup->missing = 0;
  for (size_t i = 0; i < count; ++i) lookup->slots[i] = slot + static_cast<uint32_t>(i);
  for (size_t i = 0; i < count; i += kLineSlots) PrefetchSlot(lookup->slots[i]);
  PrefetchSlot(lookup->slots[count - 1]);
}

void MemoryIndex::LookupHashes(Lookup* lookup) const {
  for (size_t i = 0; i < lookup->keys.size(); ++i) {
    const uint32_t bit = 1u << i;
    if ((lookup->missing & bit) == 0 && KeyAt(lookup->slots[i]) == lookup->keys[i]) continue;
    lookup->missing |= bit;
    lookup->slots[i] = kNone;
    lookup->hashes[i] = by_key_.Hash(lookup->keys[i]);
    by_key_.PrefetchSegment(lookup->hashes[i]);
  }
}

void MemoryIndex::LookupBuckets(Lookup* lookup) const {
  for (uint32_t left = lookup->missing; left != 0; left &= left - 1) {
    by_key_.PrefetchBucket(lookup->hashes[std::countr_zero(left)]);
  }
}

void MemoryIndex::LookupSlots(Lookup* lookup) const {
  for (uint32_t left = lookup->missing; left != 0; left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    lookup->slots[i] = by_key_.FirstCandidate(lookup->hashes[i]);
    if (lookup->slots[i] != kNone) PrefetchSlot(lookup->slots[i]);
  }
}

void MemoryIndex::LookupSets(Lookup* lookup) {
  SetId before = kEmptySet;
  for (size_t i = 0; i < lookup->keys.size(); ++i) {
    const RequestKey key = lookup->keys[i];
    uint32_t& slot = lookup->slots[i];
    if (slot != kNone && KeyAt(slot) != key) slot = FindKey(key, lookup->hashes[i]);
    lookup->sets[i] = slot == kNone ? kEmptySet : SetAt(slot);
    if (slot != kNone && max_bytes_ != 0) At(slot).flags |= kUsed;
    if (lookup->sets[i] != before) sets_.Prefetch(lookup->sets[i]);
    before = lookup->sets[i];
  }
}

void MemoryIndex::LookupHolders(Lookup* lookup) const {
  SetId before = kEmptySet;
  for (size_t i = 0; i < lookup->keys.size(); ++i) {
    if (lookup->sets[i] != before) sets_.PrefetchBehind(lookup->sets[i]);
    before = lookup->sets[i];
  }
}

}  // namespace headrace::indexer
