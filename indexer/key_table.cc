#include "indexer/key_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "base/random.h"

namespace headrace::indexer {
namespace {

// Above this share of its cells a segment grows; it becomes smaller when the rest is well below
// what the smaller one may hold.
constexpr size_t CellsOf(uint32_t pages) {
  return size_t{pages} * KeyPage::kBuckets * KeyBucket::kCells;
}
constexpr size_t GrowAbove(uint32_t pages) {
  return CellsOf(pages) * 88 / 100;
}
// By about a quarter: less would move every key more often, more would leave more cells empty.
constexpr uint8_t kLarger[] = {4, 4, 4, 4, 5, 7, 7, 9, 9, 11, 11, 14, 14, 14, 15};
constexpr uint8_t kSmaller[] = {0, 0, 0, 0, 3, 4, 5, 5, 7, 7, 9, 9, 11, 11, 11};
constexpr uint32_t Larger(uint32_t pages) {
  return kLarger[pages];
}
constexpr uint32_t Smaller(uint32_t pages) {
  return kSmaller[pages];
}
constexpr size_t ShrinkBelow(uint32_t pages) {
  return CellsOf(Smaller(pages)) * 72 / 100;
}

// The patterns of the lowest bits of a hash that each of the first segments has: each has 1.19
// times what the one before has, so that four times the smallest would come after the largest.
constexpr uint8_t kRootPatterns[] = {4, 5, 6, 7, 8, 10, 11, 13};
constexpr uint32_t kRoots = std::size(kRootPatterns);
constexpr uint32_t kPatterns = 64;

// The first pattern of the root that has this one, and how many it has.
struct Root {
  uint32_t first;
  uint32_t patterns;
};
Root RootOf(uint64_t hash) {
  const auto pattern = static_cast<uint32_t>(hash % kPatterns);
  uint32_t first = 0;
  uint32_t root = 0;
  while (first + kRootPatterns[root] <= pattern) first += kRootPatterns[root++];
  return {first, kRootPatterns[root]};
}

uint32_t PagesFor(size_t entries, uint32_t least, uint32_t most) {
  uint32_t pages = least;
  while (pages < most && entries > CellsOf(pages) * 85 / 100) pages = Larger(pages);
  return pages;
}

}  // namespace

uint32_t KeyPages::Take() {
  if (free_.empty()) return pages_.Append();
  const uint32_t page = free_.back();
  free_.pop_back();
  std::memset(static_cast<void*>(&pages_[page]), 0, sizeof(KeyPage));
  return page;
}

void KeyPages::Give(uint32_t page) {
  HR_DCHECK(page < pages_.size());
  free_.push_back(page);
}

KeyTable::KeyTable(ChunkSource* source, KeyPages* pages, const Keys* keys, uint64_t seed)
    : pages_(pages),
      keys_(keys),
      seed_(MixBits(seed)),
      multiplier_(MixBits(seed + 0x9e3779b97f4a7c15) | 1),
      segments_(source),
      directory_(kPatterns),
      directory_mask_(kPatterns - 1) {
  static_assert(kPatterns == 1u << kRootBits);
  for (uint32_t pattern = 0; pattern < kPatterns; pattern += RootOf(pattern).patterns) {
    Point(pattern, 0, NewSegment(0));
  }
  HR_CHECK(segments_.size() == kRoots);
}

double KeyTable::load() const {
  size_t cells = 0;
  for (uint32_t i = 0; i < segments_.size(); ++i) cells += CellsOf(segments_[i].pages);
  return static_cast<double>(size_) / static_cast<double>(cells);
}

// The segment is that of all hashes with the root of `hash` and the same `depth` bits above.
void KeyTable::Point(uint64_t hash, uint32_t depth, uint32_t number) {
  const uint64_t above = (hash >> kRootBits) & ((uint64_t{1} << depth) - 1);
  const uint64_t step = uint64_t{1} << (kRootBits + depth);
  const Root root = RootOf(hash);
  for (uint64_t i = root.first; i < root.first + root.patterns; ++i) {
    for (uint64_t at = i | above << kRootBits; at < directory_.size(); at += step) {
      directory_[at] = number;
    }
  }
}

uint32_t KeyTable::NewSegment(uint32_t depth) {
  const uint32_t number = segments_.Append();
  Segment& segment = segments_[number];
  segment.depth = static_cast<uint8_t>(depth);
  SetPages(&segment, kMinPages);
  return number;
}

void KeyTable::SetPages(Segment* segment, uint32_t pages) {
  HR_CHECK(pages >= kMinPages && pages <= kMaxPages);
  while (segment->pages > pages) pages_->Give(segment->page[--segment->pages]);
  for (uint32_t i = 0; i < segment->pages; ++i) {
    std::memset(static_cast<void*>(&(*pages_)[segment->page[i]]), 0, sizeof(KeyPage));
  }
  while (segment->pages < pages) segment->page[segment->pages++] = pages_->Take();
  segment->used = 0;
  static_assert(GrowAbove(kMaxPages) <= UINT16_MAX);
  segment->full = static_cast<uint16_t>(GrowAbove(pages));
  ++resizes_;
}

bool KeyTable::Put(const Segment& segment, Entry entry) {
  const Spot spot = PlaceFraction(segment, entry.fraction);
  uint32_t distance = 0;
  while (distance <= kMaxDistance &&
         FreeCells(BucketAt(segment, Onward(segment, spot.home, distance))) == 0) {
    ++distance;
  }
  if (distance > kMaxDistance) distance = MakeFree(segment, spot.home);
  if (distance > kMaxDistance) return false;
  KeyBucket& bucket = BucketAt(segment, Onward(segment, spot.home, distance));
  const auto cell = static_cast<uint32_t>(std::countr_zero(FreeCells(bucket)));
  PutInto(&bucket, cell, spot.tag, distance, entry.record);
  for (uint32_t i = 0; i < distance; ++i) ++BucketAt(segment, Onward(segment, spot.home, i)).passed;
  return true;
}

uint32_t KeyTable::MakeFree(const Segment& segment, uint32_t home) {
  uint32_t hole = kMaxDistance + 1;
  while (hole <= kMaxLook && FreeCells(BucketAt(segment, Onward(segment, home, hole))) == 0) ++hole;
  if (hole > kMaxLook) return kMaxLook;
  while (hole > kMaxDistance) {
    uint32_t steps = kMaxDistance;
    while (steps > 0 && !MoveOne(segment, Onward(segment, home, hole - steps), steps)) --steps;
    if (steps == 0) return kMaxLook;
    hole -= steps;
  }
  return hole;
}

// A key of this bucket that may lie so many buckets further on goes there. REQUIRES: a free cell.
bool KeyTable::MoveOne(const Segment& segment, uint32_t from, uint32_t steps) {
  KeyBucket& bucket = BucketAt(segment, from);
  for (uint32_t cell = 0; cell < KeyBucket::kCells; ++cell) {
    const uint32_t distance = DistanceOf(bucket, cell) + steps;
    if (bucket.cells[cell] == 0 || distance > kMaxDistance) continue;
    KeyBucket& target = BucketAt(segment, Onward(segment, from, steps));
    const auto to = static_cast<uint32_t>(std::countr_zero(FreeCells(target)));
    SetCell(&target, to, bucket.tags[cell], bucket.cells[cell]);
    SetDistance(&target, to, distance);
    SetCell(&bucket, cell, 0, 0);
    for (uint32_t i = 0; i < steps; ++i) ++BucketAt(segment, Onward(segment, from, i)).passed;
    return true;
  }
  return false;
}

void KeyTable::Collect(const Segment& segment, std::vector<Entry>* entries) const {
  entries->resize(segment.used);
  const uint32_t buckets = segment.pages * KeyPage::kBuckets;
  // A product of 29 bits is divided by multiplying: exact, as 2^40 is more than 2^29 * buckets.
  static_assert(kFractionBits + 10 == 29 && kMaxPages * KeyPage::kBuckets < 1u << 10);
  const uint64_t inverse = ((uint64_t{1} << 40) + buckets - 1) / buckets;
  size_t next = 0;
  constexpr uint32_t kAhead = 16;
  for (uint32_t at = 0; at < buckets; ++at) {
    const KeyBucket& bucket = BucketAt(segment, at);
    indexer::Prefetch(&BucketAt(segment, std::min(at + kAhead, buckets - 1)));
    const uint32_t used = ~FreeCells(bucket) & ((1u << KeyBucket::kCells) - 1);
    HR_CHECK(next + static_cast<size_t>(std::popcount(used)) <= entries->size());
    for (uint32_t left = used; left != 0; left &= left - 1) {
      const auto cell = static_cast<uint32_t>(std::countr_zero(left));
      const uint32_t content = bucket.cells[cell];
      const uint32_t distance = DistanceOf(bucket, cell);
      const uint32_t home = at >= distance ? at - distance : at + buckets - distance;
      const uint32_t tag = content >> kRecordBits << 8 | bucket.tags[cell];
      // The one multiple of `buckets` between this product and the next tag's.
      const uint64_t product = (home << kFractionBits | tag << kTagShift) + uint64_t{buckets} - 1;
      (*entries)[next++] = {static_cast<uint32_t>(product * inverse >> 40),
                            (content & kRecordMask) - 1};
    }
  }
  HR_CHECK(next == entries->size());
}

size_t KeyTable::Fill(const Segment& segment, const std::vector<Entry>& entries) {
  uint8_t used[kMaxPages * KeyPage::kBuckets] = {};
  for (size_t i = 0; i < entries.size(); ++i) {
    const Spot spot = PlaceFraction(segment, entries[i].fraction);
    uint32_t at = spot.home;
    uint32_t distance = 0;
    while (used[at] == KeyBucket::kCells && distance <= kMaxDistance) {
      at = Onward(segment, at, 1);
      ++distance;
    }
    if (distance > kMaxDistance) return i;
    KeyBucket& bucket = BucketAt(segment, at);
    const uint32_t cell = used[at]++;
    SetCell(&bucket, cell, spot.tag, spot.tag >> 8 << kRecordBits | (entries[i].record + 1));
    if (distance == 0) continue;  // as it is in an empty bucket
    SetDistance(&bucket, cell, distance);
    for (uint32_t d = 0; d < distance; ++d) {
      ++BucketAt(segment, Onward(segment, spot.home, d)).passed;
    }
  }
  return entries.size();
}

bool KeyTable::Refill(Segment* segment, uint32_t pages, const std::vector<Entry>& entries) {
  for (; pages <= kMaxPages; pages = Larger(pages)) {
    SetPages(segment, pages);
    size_t done = Fill(*segment, entries);
    while (done < entries.size() && Put(*segment, entries[done])) ++done;
    if (done == entries.size()) {
      segment->used = static_cast<uint32_t>(entries.size());
      return true;
    }
  }
  SetPages(segment, kMinPages);
  return false;
}

void KeyTable::Grow(uint64_t hash) {
  const uint32_t number = directory_[hash & directory_mask_];
  Segment& segment = segments_[number];
  Collect(segment, &scratch_);
  if (segment.pages < kMaxPages && Refill(&segment, Larger(segment.pages), scratch_)) return;
  Split(number, hash, scratch_);
}

void KeyTable::Split(uint32_t number, uint64_t hash, const std::vector<Entry>& entries) {
  constexpr uint32_t kParts = 1u << kSplitBits;
  const uint32_t depth = segments_[number].depth;
  const uint32_t shift = kRootBits + depth;
  HR_CHECK(depth < 30);  // or keys are equal that must not be
  if (directory_.size() == size_t{1} << shift) {
    const size_t before = directory_.size();
    directory_.resize(before * kParts);
    for (size_t i = before; i < directory_.size(); ++i) directory_[i] = directory_[i - before];
    directory_mask_ = directory_.size() - 1;
  }
  const uint64_t own = hash & ~(uint64_t{kParts - 1} << shift);
  uint32_t numbers[kParts];
  for (uint32_t part = 0; part < kParts; ++part) {
    numbers[part] = part == 0 ? number : NewSegment(depth + kSplitBits);
    Point(own | uint64_t{part} << shift, depth + kSplitBits, numbers[part]);
  }
  segments_[number].depth = static_cast<uint8_t>(depth + kSplitBits);

  constexpr size_t kAhead = 16;
  std::vector<Entry> parts[kParts];
  for (auto& part : parts) part.reserve(entries.size() / kParts + entries.size() / 16);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i + kAhead < entries.size()) keys_->PrefetchKey(entries[i + kAhead].record);
    const uint64_t found = Hash(keys_->KeyOf(entries[i].record));
    HR_DCHECK(Fraction(found) == entries[i].fraction);
    parts[found >> shift & (kParts - 1)].push_back(entries[i]);
  }
  for (uint32_t part = 0; part < kParts; ++part) {
    const uint32_t pages = PagesFor(parts[part].size(), kMinPages, kMaxPages);
    if (!Refill(&segments_[numbers[part]], pages, parts[part])) {
      Split(numbers[part], own | uint64_t{part} << shift, parts[part]);
    }
  }
}

void KeyTable::Insert(uint64_t hash, uint32_t record) {
  HR_CHECK(record <= kMaxRecords);
  for (;;) {
    Segment& segment = segments_[directory_[hash & directory_mask_]];
    if (segment.used < segment.full && Put(segment, {Fraction(hash), record})) {
      ++segment.used;
      ++size_;
      return;
    }
    Grow(hash);
  }
}

KeyTable::Found KeyTable::Locate(const Segment& segment, const Spot& spot, uint32_t record) const {
  const uint32_t content = spot.tag >> 8 << kRecordBits | (record + 1);
  uint32_t at = spot.home;
  for (uint32_t distance = 0; distance <= kMaxDistance; ++distance) {
    const KeyBucket& bucket = BucketAt(segment, at);
    for (uint32_t match = MatchTags(bucket, spot.tag); match != 0; match &= match - 1) {
      const auto cell = static_cast<uint32_t>(std::countr_zero(match));
      if (bucket.cells[cell] == content) return {at, cell, distance};
    }
    if (++at == segment.pages * KeyPage::kBuckets) at = 0;
  }
  HR_CHECK(false);
  return {};
}

void KeyTable::Erase(uint64_t hash, uint32_t record) {
  Segment& segment = segments_[directory_[hash & directory_mask_]];
  const Spot spot = Place(segment, hash);
  const Found found = Locate(segment, spot, record);
  HR_CHECK(DistanceOf(BucketAt(segment, found.at), found.cell) == found.distance);
  for (uint32_t i = 0; i < found.distance; ++i) {
    --BucketAt(segment, Onward(segment, spot.home, i)).passed;
  }
  SetCell(&BucketAt(segment, found.at), found.cell, 0, 0);
  --segment.used;
  --size_;
  if (segment.pages > kMinPages && segment.used < ShrinkBelow(segment.pages)) {
    Collect(segment, &scratch_);
    // Keys that crowd may not fit any more, not even where they were, in another order.
    if (!Refill(&segment, Smaller(segment.pages), scratch_)) {
      Split(directory_[hash & directory_mask_], hash, scratch_);
    }
  }
}

void KeyTable::Check() const {
  uint64_t used = 0;
  std::vector<Entry> entries;
  for (uint32_t number = 0; number < segments_.size(); ++number) {
    Collect(segments_[number], &entries);
    used += entries.size();
    for (const Entry& entry : entries) {
      const uint64_t hash = Hash(keys_->KeyOf(entry.record));
      HR_CHECK(Fraction(hash) == entry.fraction);
      HR_CHECK(directory_[hash & directory_mask_] == number);
      HR_CHECK(Search(hash, [&](uint32_t record) { return record == entry.record; }) ==
               entry.record);
    }
  }
  HR_CHECK(used == size_);
}

}  // namespace headrace::indexer
