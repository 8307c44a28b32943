// Least recently used by a lazy binary heap a size class. An entry's key is at most the block's
// last access: a touch changes only the block, and an entry that comes up with an old key goes down
// again with the new one. An entry stays when its block stops being evictable, and is dropped when
// it comes up; so there is at most one entry a block and class, and a record that was used again in
// the meantime keeps the entry with its older key, which the same rule corrects.
#include <bit>

#include "engine/eviction_policy.h"

namespace headrace::engine {

namespace {

struct Entry {
  int64_t key;
  BlockIndex block;
  uint32_t reserved;
};

bool Colder(const Entry& a, const Entry& b) {
  return a.key != b.key ? a.key < b.key : a.block < b.block;
}

class Heap {
 public:
  static Result<Heap> Create(uint64_t capacity) {
    Heap heap;
    HR_TRY(heap.entries_, ZeroedArray<Entry>::Create(capacity));
    return heap;
  }
  uint64_t size() const { return size_; }
  const Entry& at(uint64_t i) const { return entries_[i]; }

  void Push(Entry entry) {
    HR_CHECK(size_ < entries_.size());
    uint64_t at = size_++;
    for (; at > 0 && Colder(entry, entries_[(at - 1) / 2]); at = (at - 1) / 2) {
      entries_[at] = entries_[(at - 1) / 2];
    }
    entries_[at] = entry;
  }
  void Pop() {
    HR_CHECK(size_ > 0);
    const Entry last = entries_[--size_];
    if (size_ > 0) Sink(last);
  }
  void ReplaceTop(Entry entry) { Sink(entry); }

 private:
  void Sink(Entry entry) {
    uint64_t at = 0;
    for (uint64_t child = 1; child < size_; child = 2 * at + 1) {
      if (child + 1 < size_ && Colder(entries_[child + 1], entries_[child])) ++child;
      if (!Colder(entries_[child], entry)) break;
      entries_[at] = entries_[child];
      at = child;
    }
    entries_[at] = entry;
  }

  ZeroedArray<Entry> entries_;
  uint64_t size_ = 0;
};

class Lru : public EvictionPolicy {
 public:
  Status Attach(const BlockTable* blocks) override {
    blocks_ = blocks;
    HR_TRY(entered_, ZeroedArray<ClassMask>::Create(blocks->capacity()));
    for (Heap& heap : heaps_) {  // address space only, until a class is used
      HR_TRY(heap, Heap::Create(blocks->capacity()));
    }
    return {};
  }

  void Touched(BlockIndex) override {}

  void BecameEvictable(BlockIndex index) override {
    const Block& block = (*blocks_)[index];
    for (ClassMask left = block.classes & ~entered_[index]; left != 0; left &= left - 1) {
      heaps_[std::countr_zero(left)].Push({block.last_access, index, 0});
    }
    entered_[index] |= block.classes;
  }

  void StoppedEvictable(BlockIndex) override {}

  Pick NextVictim(SizeClass size_class) override {
    Heap& heap = heaps_[size_class];
    for (int step = 1; step <= kMaxSteps; ++step) {
      if (heap.size() == 0) return {kNone, false, Units(step)};
      const Entry top = heap.at(0);
      const Block& block = (*blocks_)[top.block];
      if (!Stands(block, size_class)) {
        heap.Pop();
        entered_[top.block] &= ~(1u << size_class);
      } else if (block.last_access > top.key) {
        heap.ReplaceTop({block.last_access, top.block, 0});
      } else {
        return {top.block, false, Units(step)};
      }
    }
    return {kNone, true, Units(kMaxSteps)};
  }

  Pick NextVictimAmong(SizeClass size_class,
                       const std::function<bool(BlockIndex)>& wanted) override {
    const Heap& heap = heaps_[size_class];
    Pick pick;
    int64_t coldest = 0;
    const uint64_t looked = std::min<uint64_t>(heap.size(), kMaxSteps);
    for (uint64_t i = 0; i < looked; ++i) {
      const BlockIndex index = heap.at(i).block;
      const Block& block = (*blocks_)[index];
      if (!Stands(block, size_class) || !wanted(index)) continue;
      if (pick.block != kNone && block.last_access >= coldest) continue;
      pick.block = index;
      coldest = block.last_access;
    }
    pick.units = Units(kMaxSteps);
    return pick;
  }

  void CheckKnown(BlockIndex index) const override {
    const Block& block = (*blocks_)[index];
    HR_CHECK((entered_[index] & block.classes) == block.classes);
    for (ClassMask left = block.classes; left != 0; left &= left - 1) {
      const Heap& heap = heaps_[std::countr_zero(left)];
      HR_CHECK(heap.size() > 0);
    }
  }

 private:
  static constexpr int kMaxSteps = 48;
  static int Units(int steps) { return 1 + steps / 4; }
  static bool Stands(const Block& block, SizeClass size_class) {
    return block.evictable() && (block.classes >> size_class & 1) != 0;
  }

  const BlockTable* blocks_ = nullptr;
  ZeroedArray<ClassMask> entered_;  // classes in whose heap the record has an entry
  Heap heaps_[kMaxClasses];
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLru() {
  return std::make_unique<Lru>();
}

}  // namespace headrace::engine
