// The block cache: the life of every block from the first part that is filled to its removal.
// Keeps residency closed: in a namespace with full attention a visible block's parent is visible.
// What it cannot finish at once (children that become visible, ghosts that nobody needs, hidden
// blocks whose time is over) it does by slices in RunBackground. The core's thread.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/block_table.h"
#include "engine/chain_sum.h"
#include "engine/context.h"
#include "engine/eviction_policy.h"
#include "engine/namespace_table.h"
#include "engine/pool_meta.h"
#include "engine/quotas.h"
#include "engine/slab.h"

namespace headrace::engine {

// A walk over a subtree from its leaves up, that stays right while others remove blocks of it.
struct SubtreeWalk {
  BlockIndex root = kNone;
  BlockIndex at = kNone;

  void Start(BlockIndex block) { root = at = block; }
  bool done() const { return root == kNone; }
};

// Which part of a block a slot holds, and who wrote it.
struct PartSpec {
  uint32_t group = 0;
  uint32_t rank = 0;
  InstanceId owner = 0;
  uint32_t uid = 0;
  BlockHash parent;
};

// What an event tells of a block besides its key.
struct Origin {
  uint64_t lora_id = 0;
  uint64_t salt_id = 0;
  std::vector<uint32_t> tokens;
};

class BlockCache {
 public:
  struct Parts {
    Context* context = nullptr;
    PoolMeta* meta = nullptr;
    Slab* slab = nullptr;
    NamespaceTable* namespaces = nullptr;
    Quotas* quotas = nullptr;
    EvictionPolicy* policy = nullptr;
  };
  // Told while the block is still whole: leases on it end.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void BlockGoes(BlockIndex block) = 0;
  };

  static Result<std::unique_ptr<BlockCache>> Create(const Parts& parts, uint64_t seed);
  void Listen(Listener* listener) { listener_ = listener; }
  void Watch(SubtreeWalk* walk) { walks_.push_back(walk); }

  Block& operator[](BlockIndex index) { return table_[index]; }
  const Block& operator[](BlockIndex index) const { return table_[index]; }
  const BlockTable& table() const { return table_; }
  const ChainSum& chain_sum() const { return chain_sum_; }
  BlockIndex Find(const BlockKey& key) const { return table_.Find(key); }

  // The record of a block at its place, made when there is none. `parent` is its predecessor's, or
  // kNone at depth 0; in a namespace without full attention, that of the nearest known ancestor.
  // Fails with kInvalid when the block is known at another place, with kNoSpace.
  Result<BlockIndex> Enter(const BlockKey& key, uint32_t depth, BlockIndex parent);
  // The record for a block that is named as a parent only.
  Result<BlockIndex> EnterParent(const BlockKey& key, uint32_t depth);
  // Of a generation that was cleared.
  bool IsStale(const Block& block) const {
    return block.generation != (*p_.namespaces)[block.name_space].generation_low();
  }
  bool IsStaleLeaf(BlockIndex index) const {
    const Block& block = table_[index];
    const bool leaf = block.is(kInUse) && !block.is(kZombie) && block.first_child == kNone;
    return leaf && IsStale(block);
  }
  // Kept until the block's event is sent.
  void SetOrigin(BlockIndex block, Origin origin);

  // The slot of this part, filling or complete; kNone when there is none.
  SlotIndex FindPart(BlockIndex block, uint32_t group, uint32_t rank) const;
  // Bit a group other than full attention whose parts of all ranks are complete.
  uint32_t GroupsPresent(BlockIndex block) const;

  bool IsPartComplete(SlotIndex slot) const {
    return p_.slab->record(slot).use == SlotUse::kComplete;
  }
  BlockIndex BlockOf(SlotIndex slot) const { return p_.slab->record(slot).block; }
  uint64_t PayloadOf(SlotIndex slot) const;
  uint64_t slot_bytes(SizeClass size_class) const { return p_.slab->slot_bytes(size_class); }
  wire::BlockCopy Place(SlotIndex slot, uint32_t engine_block) const {
    return p_.slab->Place(slot, engine_block);
  }

  // kNone when no slot of the class is free.
  SlotIndex TakeSlot(SizeClass size_class);
  // The slot will be filled. It pins the block until CommitPart or FailPart, which must not come
  // before the copy's fence.
  void AddPart(BlockIndex block, SlotIndex slot, const PartSpec& spec);
  // True when the part counts; false when its block was removed in the meantime.
  bool CommitPart(SlotIndex slot);
  void FailPart(SlotIndex slot);

  void Pin(BlockIndex block);
  void Unpin(BlockIndex block);
  void LeaseChanged(BlockIndex block);  // its first_lease was set or cleared
  void Touch(BlockIndex block);

  // Out of every index at once; its slots are free when no copy needs them.
  // REQUIRES: no children, not a zombie.
  void Remove(BlockIndex block, RemoveReason reason);
  void Evict(BlockIndex block);  // REQUIRES: evictable
  // A hidden block gives its slots back; its record stays while it has children.
  void DropHidden(BlockIndex block);
  // The next block to remove of a walk, or kNone: all gone, or the Apply is spent.
  BlockIndex NextLeaf(SubtreeWalk* walk);

  // The oldest hidden block with a part in the class that nobody needs, among the oldest few.
  BlockIndex OldestHidden(SizeClass size_class, Duration older_than) const;

  void RunBackground();
  bool HasBackground() const;
  bool reaping() const { return !reap_.empty(); }
  std::optional<Time> NextDeadline() const;

  // In check.cc. `pins[i]`: what others count as pins of block i.
  void CheckInvariants(const std::vector<uint32_t>& pins) const;

 private:
  explicit BlockCache(const Parts& parts, uint64_t seed) : p_(parts), chain_sum_(seed) {}

  bool IsComplete(const Block& block) const;
  void TryReveal(BlockIndex index);
  void SetVisible(BlockIndex index);
  void EmitStored(BlockIndex index);
  // Before a block becomes visible: listeners hear of the end of one that a clear left behind.
  void EndStale(BlockIndex index);
  void EmitRemoved(BlockIndex index, RemoveReason reason);
  void LeaveParent(BlockIndex index);
  void FreeParts(BlockIndex index);
  void ForgetParts(BlockIndex index);
  void FreeRecord(BlockIndex index);
  void UnlinkPart(BlockIndex index, SlotIndex slot);
  void GiveSlot(SlotIndex slot);
  void WriteHeader(BlockIndex index, SlotIndex slot, const PartSpec& spec);
  void JoinHidden(BlockIndex index);
  void LeaveHidden(BlockIndex index);
  bool HiddenIsDue() const;
  void ExpireHidden();
  void RunReveal();
  void StopReveal(BlockIndex index);
  void RunReap();
  void StopReap(BlockIndex index);
  bool IsDoomed(const Block& block) const;
  void MayReap(BlockIndex index);
  void MayEvict(BlockIndex index);
  void CountRemoval(const Block& block, RemoveReason reason, uint64_t bytes);
  uint64_t SlotBytes(const Block& block) const;
  uint64_t LivePayload(const Block& block) const;
  void CheckBlocks(const std::vector<uint32_t>& pins) const;
  void CheckSlots() const;
  void CheckBlock(BlockIndex index, uint32_t pins) const;
  void CheckParts(BlockIndex index) const;
  void CheckFamily(BlockIndex index) const;

  Parts p_;
  BlockTable table_;
  ChainSum chain_sum_;
  Listener* listener_ = nullptr;
  std::vector<SubtreeWalk*> walks_;

  using Line = BlockList<&Block::line_prev, &Block::line_next>;
  Line hidden_;                  // oldest first
  uint64_t hidden_waiting_ = 0;  // of them, without a pin

  static constexpr BlockIndex kNotStarted = kNone - 1;
  Line reveal_;                           // visible blocks whose children wait to be looked at
  BlockIndex reveal_next_ = kNotStarted;  // child of reveal_.front() to look at next
  BlockList<&Block::reap_prev, &Block::reap_next> reap_;  // blocks that may be needed no more
  std::unordered_map<BlockIndex, Origin> origins_;
  bool warm_ = false;            // the index has all its memory
  uint64_t evicted_unused_ = 0;  // bytes that evictions freed and nobody took yet
};

}  // namespace headrace::engine
