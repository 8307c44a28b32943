#include "indexer/holder_sets.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/random.h"

namespace headrace::indexer {
namespace {

constexpr uint64_t kHeapBytes = 16;  // what the heap keeps beside a piece

}  // namespace

HolderSets::HolderSets(ChunkSource* source, KeyPages* pages, uint64_t seed)
    : seed_(seed), sets_(source), table_(source, pages, this, seed) {
  HR_CHECK(sets_.Append() == kEmptySet);
  sets_[kEmptySet].refs = 1;
}

HolderSets::~HolderSets() {
  for (SetId set = 1; set < sets_.size(); ++set) {
    const HolderSet& record = sets_[set];
    if (record.count > HolderSet::kInline) std::free(record.behind.data);
  }
}

uint64_t HolderSets::HashOf(HolderId holder) const {
  return MixBits(seed_ + (uint64_t{holder} + 1) * 0x9e3779b97f4a7c15);
}

bool HolderSets::Contains(const HolderSet& set, HolderId holder) {
  switch (set.kind()) {
    case HolderSet::Form::kInline: {
      for (uint32_t i = 0; i < set.count; ++i) {
        if (set.ids[i] == holder) return true;
      }
      return false;
    }
    case HolderSet::Form::kList:
      return std::binary_search(set.list(), set.list() + set.count, holder);
    case HolderSet::Form::kBits:
      break;
  }
  return (set.Word(holder / 64) >> holder % 64 & 1) != 0;
}

SetId HolderSets::Change(SetId set, HolderId holder, bool more) {
  for (const Step& step : steps_) {
    if (step.holder == holder && step.from == set && step.more == more) return step.to;
  }
  const HolderSet& from = sets_[set];
  if (Contains(from, holder) == more) return set;
  const uint64_t hash = more ? from.hash + HashOf(holder) : from.hash - HashOf(holder);
  Compose(from, holder, more);
  SetId to = kEmptySet;
  if (count_ > 0) {
    to = table_.Search(table_.Hash(hash), [&](uint32_t record) {
      return sets_[record].hash == hash && EqualsComposed(sets_[record]);
    });
    if (to == KeyTable::kNone) to = Store(hash);
  }
  steps_[next_step_++ % steps_.size()] = {set, to, holder, more};
  return to;
}

bool HolderSets::BitsFit(uint32_t first, uint32_t last, uint32_t count) const {
  return (uint64_t{last / 64} - first / 64 + 1) * 8 <= uint64_t{count} * 4 + 64;
}

// The form follows from the holders alone, so equal sets are equal bytes.
void HolderSets::Compose(const HolderSet& set, HolderId holder, bool more) {
  count_ = more ? set.count + 1 : set.count - 1;
  if (set.kind() == HolderSet::Form::kBits) {
    ComposeBits(set, holder, more);
    return;
  }
  ids_.assign(set.list(), set.list() + set.count);
  const auto at = std::lower_bound(ids_.begin(), ids_.end(), holder);
  if (more) {
    ids_.insert(at, holder);
  } else {
    ids_.erase(at);
  }
  form_ = count_ <= HolderSet::kInline ? HolderSet::Form::kInline : HolderSet::Form::kList;
  if (form_ == HolderSet::Form::kInline || !BitsFit(ids_.front(), ids_.back(), count_)) return;
  form_ = HolderSet::Form::kBits;
  first_word_ = ids_.front() / 64;
  words_.assign(ids_.back() / 64 - first_word_ + 1, 0);
  for (const HolderId id : ids_) words_[id / 64 - first_word_] |= uint64_t{1} << id % 64;
}

void HolderSets::ComposeBits(const HolderSet& set, HolderId holder, bool more) {
  const uint32_t word = holder / 64;
  const uint32_t last = set.behind.first_word + set.behind.length - 1;
  const uint32_t first = more ? std::min(word, set.behind.first_word) : set.behind.first_word;
  words_.assign(std::max(word, last) - first + 1, 0);
  std::memcpy(&words_[set.behind.first_word - first], set.words(),
              set.behind.length * sizeof(uint64_t));
  words_[word - first] ^= uint64_t{1} << holder % 64;
  while (words_.back() == 0) words_.pop_back();
  const auto zeros = static_cast<uint32_t>(
      std::find_if(words_.begin(), words_.end(), [](uint64_t w) { return w != 0; }) -
      words_.begin());
  words_.erase(words_.begin(), words_.begin() + zeros);
  first_word_ = first + zeros;
  form_ = HolderSet::Form::kBits;
  const auto span = static_cast<uint32_t>(words_.size() - 1) * 64;
  if (count_ > HolderSet::kInline && BitsFit(0, span, count_)) return;
  form_ = count_ <= HolderSet::kInline ? HolderSet::Form::kInline : HolderSet::Form::kList;
  ids_.clear();
  for (uint32_t i = 0; i < words_.size(); ++i) {
    const auto add = [&](HolderId id) { ids_.push_back(id); };
    VisitBits(first_word_ + i, words_[i], add);
  }
}

bool HolderSets::EqualsComposed(const HolderSet& set) const {
  if (set.count != count_ || set.kind() != form_) return false;
  if (form_ != HolderSet::Form::kBits) {
    return std::equal(ids_.begin(), ids_.end(), set.list());
  }
  return set.behind.first_word == first_word_ && set.behind.length == words_.size() &&
         std::equal(words_.begin(), words_.end(), set.words());
}

SetId HolderSets::Store(uint64_t hash) {
  SetId set = free_;
  if (set != kEmptySet) {
    free_ = sets_[set].refs;
    --free_sets_;
  } else {
    set = sets_.Append();
  }
  HolderSet& record = sets_[set];
  record.hash = hash;
  record.refs = 0;
  record.count = count_;
  record.form = static_cast<uint32_t>(form_);
  if (form_ == HolderSet::Form::kInline) {
    std::copy(ids_.begin(), ids_.end(), record.ids);
  } else {
    const bool bits = form_ == HolderSet::Form::kBits;
    const size_t bytes = bits ? words_.size() * sizeof(uint64_t) : ids_.size() * sizeof(HolderId);
    void* data = std::malloc(bytes);
    HR_CHECK(data != nullptr);
    std::memcpy(data, bits ? static_cast<const void*>(words_.data()) : ids_.data(), bytes);
    record.behind = {data, static_cast<uint32_t>(bits ? words_.size() : ids_.size()), first_word_};
    behind_bytes_ += bytes + kHeapBytes;
  }
  table_.Insert(table_.Hash(hash), set);
  return set;
}

void HolderSets::Free(SetId set) {
  HR_CHECK(set != kEmptySet);
  HolderSet& record = sets_[set];
  table_.Erase(table_.Hash(record.hash), set);
  if (record.kind() != HolderSet::Form::kInline) {
    const size_t item =
        record.kind() == HolderSet::Form::kBits ? sizeof(uint64_t) : sizeof(HolderId);
    behind_bytes_ -= record.behind.length * item + kHeapBytes;
    std::free(record.behind.data);
  }
  record = {};
  record.refs = free_;
  free_ = set;
  ++free_sets_;
  for (Step& step : steps_) {
    if (step.from == set || step.to == set) step = {};
  }
}

void HolderSets::Check() const {
  table_.Check();
  uint64_t used = 0;
  for (SetId set = 1; set < sets_.size(); ++set) {
    const HolderSet& record = sets_[set];
    if (record.count == 0) continue;
    ++used;
    uint64_t hash = 0;
    uint32_t count = 0;
    ForEach(set, [&](HolderId holder) {
      hash += HashOf(holder);
      ++count;
      HR_CHECK(Contains(record, holder));
    });
    HR_CHECK(hash == record.hash && count == record.count && record.refs > 0);
  }
  HR_CHECK(used == table_.size());
}

}  // namespace headrace::indexer
