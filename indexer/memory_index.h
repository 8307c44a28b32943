// The index in this process's memory, at about 35 bytes a block, with or without a byte budget.
// With one, a second-chance hand goes around the blocks and drops what nobody added or asked for
// since it came by last. docs/index.md tells how the memory is laid out. One thread.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "indexer/holder_sets.h"
#include "indexer/holder_table.h"
#include "indexer/index.h"
#include "indexer/key_table.h"
#include "indexer/link_table.h"

namespace headrace::indexer {

class MemoryIndex final : public Index {
 public:
  static constexpr uint64_t kMinBudgetBytes = 8u << 20;

  struct Options {
    uint64_t seed = 0;       // secret of this process, for its tables
    uint64_t max_bytes = 0;  // 0: as much as there is; else at least kMinBudgetBytes
  };
  // Fails with kInvalid when the budget is too small to keep.
  static Result<std::unique_ptr<MemoryIndex>> Create(const Options& options);
  ~MemoryIndex() override;

  HolderId AddHolder(const HolderInfo& info) override;
  void EndHolder(HolderId holder) override;
  const HolderInfo& holder(HolderId holder) const override { return holders_.info(holder); }

  void Expect(std::span<const EngineKey> engine) const override;
  void Add(HolderId holder, std::span<const EngineKey> engine,
           std::span<const RequestKey> keys) override;
  size_t Remove(HolderId holder, std::span<const EngineKey> engine) override;
  size_t RemoveKeys(HolderId holder, std::span<const RequestKey> keys) override;
  // Valid until the next call of this index.
  std::span<const RequestKey> Resolve(EngineKey engine) const override;

  bool Sweep(size_t steps) override;
  IndexStats stats() const override;
  std::vector<HolderId> Holders(RequestKey key) const override;
  uint64_t Visit(uint64_t cursor, size_t most,
                 const std::function<void(RequestKey, EngineKey, std::span<const HolderId>)>& visit)
      const override;

  // For the scorer: each of these steps asks for the memory that the next one reads, so there is
  // work on other keys between two steps. Blocks that came one after the other mostly lie so: a
  // guess that proves right needs no table. At the end kEmptySet stands for a block that is not
  // there.
  static constexpr size_t kLookupKeys = 16;
  struct Lookup {
    std::span<const RequestKey> keys;  // at most kLookupKeys
    uint32_t missing = 0;              // a bit for each one that was not where it was guessed
    uint64_t hashes[kLookupKeys];
    uint32_t slots[kLookupKeys];  // that may be the right ones
    SetId sets[kLookupKeys];

    // Where the block `ahead` blocks behind the last one lies, if they go on as they are here.
    uint32_t Following(uint32_t ahead) const;
  };
  static constexpr uint32_t kNoGuess = KeyTable::kNone;
  // The first key lies in this slot, the others behind it: perhaps.
  void LookupGuess(Lookup* lookup, uint32_t slot) const;
  void LookupHashes(Lookup* lookup) const;
  void LookupBuckets(Lookup* lookup) const;
  void LookupSlots(Lookup* lookup) const;
  void LookupSets(Lookup* lookup);
  void LookupHolders(Lookup* lookup) const;

  const HolderSets& sets() const { return sets_; }
  HolderSets& sets() { return sets_; }  // for sets of blocks that lie elsewhere
  const HolderTable& holders() const { return holders_; }

  // Everything agrees with everything. For tests.
  void Check() const;

 private:
  static constexpr uint32_t kNone = KeyTable::kNone;
  static constexpr size_t kAtOnce = 32;  // keys whose memory is fetched side by side
  static constexpr uint32_t kLineSlots = 3;
  enum Flag : uint8_t {
    kUsed = 1,     // again, since the hand of the byte budget came by
    kLinked = 2,   // the link table may know more engine keys of it
    kCounted = 4,  // some holder may have more than one copy
  };

  // Three blocks in one line of memory.
  struct Line {
    RequestKey key[kLineSlots];    // 0: a free slot
    EngineKey engine[kLineSlots];  // 0: none that is its own; of a free slot: the next one + 1
    SetId set[kLineSlots];
    uint8_t flags[kLineSlots];
    uint8_t unused;
  };
  static_assert(sizeof(Line) == 64);
  struct Slot {
    RequestKey& key;
    EngineKey& engine;
    SetId& set;
    uint8_t& flags;
  };

  class RequestKeys : public KeyTable::Keys {
   public:
    explicit RequestKeys(const MemoryIndex* index) : index_(index) {}
    uint64_t KeyOf(uint32_t slot) const override { return index_->KeyAt(slot); }
    void PrefetchKey(uint32_t slot) const override { index_->PrefetchSlot(slot); }

   private:
    const MemoryIndex* const index_;
  };
  class EngineKeys : public KeyTable::Keys {
   public:
    explicit EngineKeys(const MemoryIndex* index) : index_(index) {}
    uint64_t KeyOf(uint32_t slot) const override { return index_->EngineAt(slot); }
    void PrefetchKey(uint32_t slot) const override { index_->PrefetchSlot(slot); }

   private:
    const MemoryIndex* const index_;
  };

  // Work on a few keys at a time, so that their memory is fetched side by side.
  struct Batch {
    std::span<const RequestKey> keys;
    std::span<const EngineKey> engine;  // empty, or one a key
    uint64_t key_hash[kAtOnce];
    uint64_t engine_hash[kAtOnce];
    uint32_t slot[kAtOnce];  // after FetchBatch a guess, or kNone
    KeyTable::Aim key_aim[kAtOnce];
    uint64_t key_resizes;  // of the table, when it aimed
    uint32_t fresh;        // a bit for each key that no block had; only those have:
    KeyTable::Aim engine_aim[kAtOnce];
    uint64_t engine_resizes;
  };
  static_assert(kAtOnce == 32);

  explicit MemoryIndex(const Options& options);

  Slot At(uint32_t slot) {
    Line& line = lines_[slot / kLineSlots];
    const uint32_t in = slot % kLineSlots;
    return {line.key[in], line.engine[in], line.set[in], line.flags[in]};
  }
  RequestKey KeyAt(uint32_t slot) const { return lines_[slot / kLineSlots].key[slot % kLineSlots]; }
  EngineKey EngineAt(uint32_t slot) const {
    return lines_[slot / kLineSlots].engine[slot % kLineSlots];
  }
  SetId SetAt(uint32_t slot) const { return lines_[slot / kLineSlots].set[slot % kLineSlots]; }
  void PrefetchSlot(uint32_t slot) const { indexer::Prefetch(&lines_[slot / kLineSlots]); }
  uint32_t FindKey(RequestKey key, uint64_t hash) const {
    return by_key_.Search(hash, [&](uint32_t slot) { return KeyAt(slot) == key; });
  }
  uint32_t FindKey(RequestKey key) const { return FindKey(key, by_key_.Hash(key)); }
  uint32_t FindEngine(EngineKey engine, uint64_t hash) const {
    return by_engine_.Search(hash, [&](uint32_t slot) { return EngineAt(slot) == engine; });
  }

  void FetchBatch(Batch* batch);
  void FetchFreshEngines(Batch* batch);
  void AddBatch(HolderId holder, Batch* batch);
  uint32_t FindOrMake(Batch* batch, size_t i);
  uint32_t NewSlot(RequestKey key);
  void AddCopy(uint32_t slot, HolderId holder);
  void LinkEngine(uint32_t slot, EngineKey engine);
  void LinkFresh(Batch* batch, size_t i);
  void LinkUnequal(std::span<const EngineKey> engine, std::span<const RequestKey> keys);

  void FetchEngines(std::span<const EngineKey> engine, Batch* batch) const;
  // The block of a request key takes one copy less; 1 or 0.
  size_t RemoveOne(HolderId holder, RequestKey key);
  size_t TakeCopy(uint32_t slot, HolderId holder);
  void FreeSlot(uint32_t slot);
  void ForgetLinks(RequestKey key);

  // What more than the blocks themselves takes memory.
  uint64_t SideBytes() const;
  uint64_t WorstSideBytes(size_t blocks) const;
  void MakeRoom(size_t blocks);
  void EvictOne();

  bool HasEnded(SetId set) const;
  void SweepSlot(uint32_t slot);

  static uint64_t CopyName(uint32_t slot, HolderId holder) { return uint64_t{slot} << 32 | holder; }

  const uint64_t max_bytes_;
  uint32_t max_slots_;
  ChunkSource blocks_source_;  // slots and the two tables
  ChunkSource side_source_;    // sets and links
  KeyPages block_pages_;
  KeyPages side_pages_;
  RequestKeys request_keys_{this};
  EngineKeys engine_keys_{this};
  KeyTable by_key_;
  KeyTable by_engine_;  // engine keys that name one block, which has no other one
  ChunkArray<Line> lines_;
  HolderTable holders_;
  HolderSets sets_;
  LinkTable links_;
  std::unordered_map<uint64_t, uint32_t> extra_copies_;  // by CopyName; beyond the first
  mutable std::vector<RequestKey> resolved_;
  std::vector<EngineKey> forgotten_;

  uint32_t slots_ = 0;      // ever used: numbers below
  uint32_t free_slot_ = 0;  // the first one + 1
  uint64_t used_slots_ = 0;

  uint32_t hand_ = 0;
  uint64_t evicted_ = 0;

  std::vector<HolderId> sweeping_;  // leave the sets in this round
  std::vector<HolderId> ended_;     // in the next one
  uint32_t sweep_slot_ = 0;
};

}  // namespace headrace::indexer
