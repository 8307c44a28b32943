// Sets of holders, each different one kept once and counted: the blocks of a chain that the same
// pods hold share one, so holders cost next to nothing and a score can tell by the number that
// nothing changed from one block to the next. Numbers stay until the last user gives them up. One
// thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "indexer/index.h"
#include "indexer/key_table.h"

namespace headrace::indexer {

using SetId = uint32_t;
inline constexpr SetId kEmptySet = 0;

// One line of memory. Few holders stand in it; more lie behind it, as a sorted list or, where it
// is about as small, as bits.
struct alignas(64) HolderSet {
  static constexpr uint32_t kInline = 12;
  enum class Form : uint8_t { kInline, kList, kBits };
  struct Behind {
    void* data;           // uint32_t[length] or uint64_t[length]
    uint32_t length;      // ids or words
    uint32_t first_word;  // kBits: holder / 64 of the first word
  };

  uint64_t hash;  // a sum over the holders: one more or less is one addition
  uint32_t refs;
  uint32_t count : 30;
  uint32_t form : 2;
  union {
    HolderId ids[kInline];  // sorted
    Behind behind;
  };

  Form kind() const { return static_cast<Form>(form); }
  const HolderId* list() const {
    return kind() == Form::kInline ? ids : static_cast<const HolderId*>(behind.data);
  }
  // Of kBits.
  const uint64_t* words() const { return static_cast<const uint64_t*>(behind.data); }
  uint32_t end_word() const { return behind.first_word + behind.length; }
  uint64_t Word(uint32_t index) const {
    const uint32_t at = index - behind.first_word;  // wraps when it is before
    return at < behind.length ? words()[at] : 0;
  }
};
static_assert(sizeof(HolderSet) == 64);

// Goes through a set 64 holders at a time, in order.
class HolderWords {
 public:
  explicit HolderWords(const HolderSet& set) {
    if (set.kind() == HolderSet::Form::kBits) {
      word_ = set.words();
      left_ = set.behind.length;
      index_ = set.behind.first_word - 1;
    } else {
      id_ = set.list();
      left_ = set.count;
    }
    Next();
  }
  uint32_t index() const { return index_; }  // UINT32_MAX behind the last
  uint64_t bits() const { return bits_; }

  void Next() {
    bits_ = 0;
    if (word_ != nullptr) {
      while (left_ > 0 && bits_ == 0) {
        bits_ = *word_++;
        ++index_;
        --left_;
      }
      if (bits_ == 0) index_ = UINT32_MAX;
      return;
    }
    index_ = left_ > 0 ? *id_ / 64 : UINT32_MAX;
    for (; left_ > 0 && *id_ / 64 == index_; ++id_, --left_) bits_ |= uint64_t{1} << *id_ % 64;
  }

 private:
  const uint64_t* word_ = nullptr;
  const HolderId* id_ = nullptr;
  uint32_t left_ = 0;
  uint32_t index_ = 0;
  uint64_t bits_ = 0;
};

class HolderSets : private KeyTable::Keys {
 public:
  // Both outlive it.
  HolderSets(ChunkSource* source, KeyPages* pages, uint64_t seed);
  ~HolderSets() override;

  // The set with one holder more or less; the same set when that changes nothing. The caller takes
  // it by Ref before it asks for another one.
  SetId With(SetId set, HolderId holder) { return Change(set, holder, true); }
  SetId Without(SetId set, HolderId holder) { return Change(set, holder, false); }
  void Ref(SetId set) { ++sets_[set].refs; }
  void Unref(SetId set) {
    HolderSet& record = sets_[set];
    HR_CHECK(record.refs > 0);
    if (--record.refs == 0) Free(set);
  }

  const HolderSet& operator[](SetId set) const { return sets_[set]; }
  bool Contains(SetId set, HolderId holder) const { return Contains(sets_[set], holder); }
  void Prefetch(SetId set) const { indexer::Prefetch(&sets_[set]); }
  void PrefetchBehind(SetId set) const {
    const HolderSet& record = sets_[set];
    if (record.kind() == HolderSet::Form::kInline) return;
    indexer::Prefetch(record.behind.data);
    indexer::Prefetch(static_cast<const uint8_t*>(record.behind.data) + 56);  // of 512 pods, all
  }

  template <typename Visit>
  void ForEach(SetId set, const Visit& visit) const {
    for (HolderWords words(sets_[set]); words.index() != UINT32_MAX; words.Next()) {
      VisitBits(words.index(), words.bits(), visit);
    }
  }
  // Every holder that is in one of the two and not in the other.
  template <typename Visit>
  void ForEachDifference(SetId left, SetId right, const Visit& visit) const {
    const HolderSet& a = sets_[left];
    const HolderSet& b = sets_[right];
    if (a.kind() == HolderSet::Form::kBits && b.kind() == HolderSet::Form::kBits) {
      ForEachOtherBit(a, b, visit);
      return;
    }
    HolderWords from(a), to(b);
    while (from.index() != to.index() || from.index() != UINT32_MAX) {
      const uint32_t index = from.index() < to.index() ? from.index() : to.index();
      uint64_t bits = 0;
      if (from.index() == index) {
        bits = from.bits();
        from.Next();
      }
      if (to.index() == index) {
        bits ^= to.bits();
        to.Next();
      }
      VisitBits(index, bits, visit);
    }
  }

  uint64_t size() const { return table_.size(); }
  uint64_t behind_bytes() const { return behind_bytes_ + table_.directory_bytes(); }
  // What a set of so many numbers may take from the heap, at most.
  static size_t WorstBytes(size_t holders) { return holders / 8 + 128; }

  // Chunks that so many new sets may take for their records and the table of them.
  size_t WorstChunks(size_t sets) const {
    return (free_sets_ + sets_.spare() < sets ? 1 : 0) + (table_.spare_segments() < 4 ? 1 : 0);
  }

  void Check() const;

 private:
  struct Step {
    SetId from = kEmptySet, to = kEmptySet;
    HolderId holder = kNoHolder;
    bool more = false;
  };

  uint64_t KeyOf(uint32_t set) const override { return sets_[set].hash; }
  void PrefetchKey(uint32_t set) const override { indexer::Prefetch(&sets_[set]); }

  template <typename Visit>
  static void VisitBits(uint32_t index, uint64_t bits, const Visit& visit) {
    for (; bits != 0; bits &= bits - 1) {
      visit(static_cast<HolderId>(index * 64 + static_cast<uint32_t>(std::countr_zero(bits))));
    }
  }
  template <typename Visit>
  static void ForEachOtherBit(const HolderSet& a, const HolderSet& b, const Visit& visit) {
    if (a.behind.first_word == b.behind.first_word && a.behind.length == b.behind.length) {
      const uint64_t* const from = a.words();
      const uint64_t* const to = b.words();
      // Mostly one word differs, and nothing tells which: asking each one is guessed wrongly.
      constexpr uint32_t kAtOnce = 8;
      for (uint32_t i = 0; i < a.behind.length; i += kAtOnce) {
        const uint32_t count = std::min(kAtOnce, a.behind.length - i);
        uint64_t bits[kAtOnce];
        uint32_t differ = 0;
        for (uint32_t k = 0; k < count; ++k) {
          bits[k] = from[i + k] ^ to[i + k];
          differ |= (bits[k] != 0 ? 1u : 0u) << k;
        }
        for (; differ != 0; differ &= differ - 1) {
          const auto k = static_cast<uint32_t>(std::countr_zero(differ));
          VisitBits(a.behind.first_word + i + k, bits[k], visit);
        }
      }
      return;
    }
    const uint32_t end = std::max(a.end_word(), b.end_word());
    for (uint32_t i = std::min(a.behind.first_word, b.behind.first_word); i < end; ++i) {
      const uint64_t bits = a.Word(i) ^ b.Word(i);
      if (bits != 0) VisitBits(i, bits, visit);
    }
  }
  static bool Contains(const HolderSet& set, HolderId holder);
  uint64_t HashOf(HolderId holder) const;
  SetId Change(SetId set, HolderId holder, bool more);
  void Compose(const HolderSet& set, HolderId holder, bool more);
  void ComposeBits(const HolderSet& set, HolderId holder, bool more);
  bool BitsFit(uint32_t first, uint32_t last, uint32_t count) const;
  bool EqualsComposed(const HolderSet& set) const;
  SetId Store(uint64_t hash);
  void Free(SetId set);

  const uint64_t seed_;
  ChunkArray<HolderSet> sets_;
  KeyTable table_;          // by hash
  SetId free_ = kEmptySet;  // chained through refs
  size_t free_sets_ = 0;
  uint64_t behind_bytes_ = 0;

  // The last steps: the blocks of one event take the same one.
  std::array<Step, 4> steps_;
  size_t next_step_ = 0;

  // The set that is looked for, composed.
  HolderSet::Form form_ = HolderSet::Form::kInline;
  uint32_t count_ = 0;
  uint32_t first_word_ = 0;
  std::vector<HolderId> ids_;
  std::vector<uint64_t> words_;
};

}  // namespace headrace::indexer
