#include "sim/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace headrace::sim {
namespace {

// A sequence's id: its place, and which of those that had the place it is.
constexpr uint32_t kPlaceBits = 20;

}  // namespace

KvCache::KvCache(Options options)
    : capacity_(options.blocks),
      block_tokens_(options.block_tokens),
      listener_(std::move(options.listener)),
      blocks_(capacity_),
      table_(capacity_),
      free_count_(capacity_) {
  HR_CHECK(block_tokens_ > 0 && capacity_ < kNone);
  for (Slot slot = capacity_; slot > 0; --slot) {
    blocks_[slot - 1].after = free_;
    free_ = slot - 1;
  }
}

KvCache::Running* KvCache::Find(SequenceId id) {
  const uint64_t place = id & ((uint64_t{1} << kPlaceBits) - 1);
  HR_CHECK(id != 0 && place < running_.size() && running_[place].id == id);
  return &running_[place];
}

KvCache::Running* KvCache::NewRunning() {
  if (idle_running_.empty()) {
    idle_running_.push_back(static_cast<uint32_t>(running_.size()));
    running_.emplace_back();
  }
  const uint32_t place = idle_running_.back();
  HR_CHECK(place < uint64_t{1} << kPlaceBits);
  idle_running_.pop_back();
  Running* const running = &running_[place];
  running->id = ++started_ << kPlaceBits | place;
  running->hits = running->filled = 0;
  running->lost = false;
  HR_CHECK(running->blocks.empty());
  return running;
}

KvCache::Slot KvCache::Lookup(const wire::BlockHash& hash) const {
  return table_.Find(hash,
                     [this](Slot slot) -> const wire::BlockHash& { return blocks_[slot].hash; });
}

uint32_t KvCache::Match(std::span<const wire::BlockHash> hashes) const {
  uint32_t count = 0;
  for (const wire::BlockHash& hash : hashes) {
    const Slot slot = Lookup(hash);
    if (slot == kNone || !blocks_[slot].filled) break;
    ++count;
  }
  return count;
}

// Blocks that are there and unused cannot make room for the others.
bool KvCache::HasRoom(std::span<const wire::BlockHash> hashes) const {
  if (hashes.size() > capacity_) return false;
  uint32_t missing = 0, revived = 0;
  for (const wire::BlockHash& hash : hashes) {
    const Slot slot = Lookup(hash);
    if (slot == kNone) {
      ++missing;
    } else if (blocks_[slot].users == 0) {
      ++revived;
    }
  }
  return missing + revived <= free_count_ + unused_count_;
}

std::optional<KvCache::Started> KvCache::Start(const Sequence& sequence) {
  HR_CHECK(sequence.extras.empty() || sequence.extras.size() == sequence.hashes.size());
  HR_CHECK(sequence.tokens.size() >= sequence.hashes.size() * block_tokens_);
  if (!HasRoom(sequence.hashes)) return std::nullopt;
  Running* const running = NewRunning();
  // All that are there are taken before anything is evicted.
  for (const wire::BlockHash& hash : sequence.hashes) {
    const Slot slot = Lookup(hash);
    if (slot != kNone) Use(slot);
    running->blocks.push_back(slot);
  }
  for (const Slot slot : running->blocks) {
    if (slot == kNone || !blocks_[slot].filled) break;
    ++running->hits;
  }
  for (size_t i = running->hits; i < running->blocks.size(); ++i) {
    if (running->blocks[i] == kNone) running->blocks[i] = Take(sequence.hashes[i], false);
  }
  TellEvicted();
  running->filled = running->hits;
  Remember(running, sequence);
  return Started{.id = running->id, .hit_blocks = running->hits};
}

void KvCache::Remember(Running* running, const Sequence& sequence) {
  if (listener_ == nullptr) return;
  const size_t first = size_t{running->hits} * block_tokens_;
  const size_t end = sequence.hashes.size() * block_tokens_;
  const auto tokens = sequence.tokens.subspan(first, end - first);
  running->tokens.assign(tokens.begin(), tokens.end());
  running->extras.clear();
  if (!sequence.extras.empty()) {
    const auto extras = sequence.extras.subspan(running->hits);
    running->extras.assign(extras.begin(), extras.end());
  }
  running->lora_slot = sequence.lora_slot;
  running->lora_name = sequence.lora_name;
}

void KvCache::Filled(SequenceId id, uint32_t blocks) {
  Running* const running = Find(id);
  HR_CHECK(blocks <= running->blocks.size());
  if (running->lost) {
    running->filled = std::max(running->filled, blocks);
    return;
  }
  uint32_t begin = running->filled;  // of a run that becomes visible
  for (uint32_t i = running->filled; i < blocks; ++i) {
    Block& block = blocks_[running->blocks[i]];
    if (block.filled) {  // by another sequence meanwhile
      TellStored(*running, begin, i);
      begin = i + 1;
      continue;
    }
    block.filled = true;
    ++kept_;
  }
  TellStored(*running, begin, blocks);
  running->filled = std::max(running->filled, blocks);
}

void KvCache::TellStored(const Running& running, uint32_t begin, uint32_t end) {
  if (begin >= end || listener_ == nullptr) return;
  told_.clear();
  for (uint32_t i = begin; i < end; ++i) told_.push_back(blocks_[running.blocks[i]].hash);
  const std::span tokens(running.tokens);
  const std::span extras(running.extras);
  const uint32_t skip = begin - running.hits;
  const uint32_t count = end - begin;
  listener_({.kind = KvChange::Kind::kStored,
             .hashes = told_,
             .parent = begin == 0 ? nullptr : &blocks_[running.blocks[begin - 1]].hash,
             .tokens = tokens.subspan(size_t{skip} * block_tokens_, size_t{count} * block_tokens_),
             .extras = extras.empty() ? extras : extras.subspan(skip, count),
             .lora_slot = running.lora_slot,
             .lora_name = running.lora_name});
  told_.clear();
}

bool KvCache::Append(SequenceId id, const wire::BlockHash& hash, std::span<const uint32_t> tokens,
                     const wire::ExtraKeys* extra) {
  Running* const running = Find(id);
  HR_CHECK(running->filled == running->blocks.size() && tokens.size() == block_tokens_);
  Slot slot = running->lost ? kNone : Lookup(hash);
  if (slot == kNone) {
    if (free_count_ + unused_count_ == 0) return false;
    slot = Take(hash, running->lost);
    TellEvicted();
  } else {
    Use(slot);
  }
  running->blocks.push_back(slot);
  if (listener_ != nullptr) {
    running->tokens.insert(running->tokens.end(), tokens.begin(), tokens.end());
    if (extra != nullptr || !running->extras.empty()) {
      running->extras.resize(running->blocks.size() - running->hits);
      if (extra != nullptr) running->extras.back() = *extra;
    }
  }
  Filled(id, running->filled + 1);
  return true;
}

// The end of a chain is released first, so that it goes first: what is before it is of use without
// it, and not the other way round.
void KvCache::End(SequenceId id) {
  Running* const running = Find(id);
  for (size_t i = running->blocks.size(); i > 0; --i) Release(running->blocks[i - 1]);
  running->blocks.clear();
  running->id = 0;
  idle_running_.push_back(static_cast<uint32_t>(running - running_.data()));
}

void KvCache::Clear() {
  table_.Clear();
  for (Slot slot = oldest_; slot != kNone;) {
    Block& block = blocks_[slot];
    const Slot next = block.after;
    block.filled = false;
    block.after = free_;
    free_ = slot;
    ++free_count_;
    slot = next;
  }
  oldest_ = newest_ = kNone;
  unused_count_ = kept_ = 0;
  for (Running& running : running_) {
    if (running.id == 0) continue;
    running.lost = true;
    for (const Slot slot : running.blocks) {
      blocks_[slot].filled = false;
      blocks_[slot].lost = true;
    }
  }
  if (listener_ != nullptr) listener_({.kind = KvChange::Kind::kCleared});
}

void KvCache::Use(Slot slot) {
  if (blocks_[slot].users++ != 0) return;
  DropUnused(slot);
  ++used_;
}

void KvCache::Release(Slot slot) {
  Block& block = blocks_[slot];
  HR_CHECK(block.users > 0);
  if (--block.users != 0) return;
  --used_;
  if (block.filled) return PushUnused(slot);
  if (!block.lost) table_.Remove(block.hash, slot);
  block.after = free_;
  free_ = slot;
  ++free_count_;
}

KvCache::Slot KvCache::Take(const wire::BlockHash& hash, bool lost) {
  const Slot slot = MakeRoom();
  Block& block = blocks_[slot];
  block = {.hash = hash, .users = 1, .lost = lost};
  if (!lost) table_.Add(hash, slot);
  ++used_;
  return slot;
}

KvCache::Slot KvCache::MakeRoom() {
  if (free_ != kNone) {
    const Slot slot = free_;
    free_ = blocks_[slot].after;
    --free_count_;
    return slot;
  }
  const Slot slot = oldest_;
  HR_CHECK(slot != kNone);  // somebody looked for room before
  DropUnused(slot);
  table_.Remove(blocks_[slot].hash, slot);
  --kept_;
  if (listener_ != nullptr) told_.push_back(blocks_[slot].hash);
  return slot;
}

void KvCache::TellEvicted() {
  if (!told_.empty()) listener_({.kind = KvChange::Kind::kRemoved, .hashes = told_});
  told_.clear();
}

void KvCache::PushUnused(Slot slot) {
  Block& block = blocks_[slot];
  block.before = newest_;
  block.after = kNone;
  (newest_ == kNone ? oldest_ : blocks_[newest_].after) = slot;
  newest_ = slot;
  ++unused_count_;
}

void KvCache::DropUnused(Slot slot) {
  const Block& block = blocks_[slot];
  (block.before == kNone ? oldest_ : blocks_[block.before].after) = block.after;
  (block.after == kNone ? newest_ : blocks_[block.after].before) = block.before;
  --unused_count_;
}

}  // namespace headrace::sim
