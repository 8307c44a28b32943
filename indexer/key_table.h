// From 64-bit keys to the numbers of the records that carry them, in 5 bytes a key: open addressing
// in buckets of one cache line, about 78 % of it in use at any size. The table is split into
// segments of at most 14 pages; a segment grows by a few pages, or splits, so that no step
// touches more than some thousand keys. Keys themselves stay in the records: the owner compares
// them. docs/index.md draws a bucket. One thread.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <cstdint>
#include <vector>

#include "indexer/chunks.h"

namespace headrace::indexer {

__extension__ using Wide = unsigned __int128;

struct alignas(64) KeyBucket {
  static constexpr uint32_t kCells = 12;

  uint8_t tags[kCells];    // low bits of the tag
  uint8_t passed;          // keys that found no cell here and lie further on
  uint8_t distances[3];    // two bits a cell: how many buckets from home
  uint32_t cells[kCells];  // high bits of the tag, 28 bits of the record's number + 1; 0 is empty
};
static_assert(sizeof(KeyBucket) == 64);

struct KeyPage {
  static constexpr uint32_t kBuckets = 64;
  KeyBucket buckets[kBuckets];
};
static_assert(sizeof(KeyPage) == 4096);

// Pages that the tables of one index share.
class KeyPages {
 public:
  explicit KeyPages(ChunkSource* source) : pages_(source) {}
  uint32_t Take();  // zeroed
  void Give(uint32_t page);
  KeyPage& operator[](uint32_t page) { return pages_[page]; }
  const KeyPage& operator[](uint32_t page) const { return pages_[page]; }
  size_t free() const { return free_.size(); }
  size_t spare() const { return free_.size() + pages_.spare(); }  // without a chunk
  uint64_t list_bytes() const { return free_.capacity() * sizeof(uint32_t); }

 private:
  ChunkArray<KeyPage> pages_;
  std::vector<uint32_t> free_;
};

class KeyTable {
  static constexpr uint32_t kMaxPages = 14;
  static constexpr uint32_t kMinPages = 4;
  static constexpr uint32_t kMaxDistance = 3;
  // How far behind a key's home a free cell is looked for, whose neighbours then move up.
  static constexpr uint32_t kMaxLook = 24;
  // A table begins with some segments of unequal shares of the hashes, so that they are not full at
  // the same time: at any size of the table some have just grown and others are about to.
  static constexpr uint32_t kRootBits = 6;
  static constexpr uint32_t kSplitBits = 2;
  static constexpr uint32_t kRecordBits = 28;
  static constexpr uint32_t kRecordMask = (1u << kRecordBits) - 1;
  // Bits of a hash that place a key in its segment; twelve of them, and where the key lies, must
  // give back all.
  static constexpr uint32_t kFractionBits = 19;
  static constexpr uint32_t kTagShift = kFractionBits - 12;
  static_assert(kMinPages * KeyPage::kBuckets >= 1u << kTagShift);

  struct Segment {
    uint32_t page[kMaxPages];
    uint32_t used;
    uint8_t pages;
    uint8_t depth;  // bits of the hash above the root's that all its keys share
    uint16_t full;  // it grows when it is to hold more
  };
  static_assert(sizeof(Segment) == 64);

  // A key's home in a segment and its tag: with the number of buckets these two give back the bits
  // of the hash that they come from, so a segment changes its size without reading a key.
  struct Spot {
    uint32_t home;
    uint32_t tag;  // 12 bits
  };

 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMaxRecords = (1u << 28) - 2;

  // The keys of a table's records.
  class Keys {
   public:
    virtual ~Keys() = default;
    virtual uint64_t KeyOf(uint32_t record) const = 0;
    virtual void PrefetchKey(uint32_t record) const = 0;
  };

  // All three outlive the table. `seed` is a secret of the process: who does not know it cannot
  // choose keys that meet in one bucket.
  KeyTable(ChunkSource* source, KeyPages* pages, const Keys* keys, uint64_t seed);

  uint64_t size() const { return size_; }
  double load() const;  // the share of its cells that is in use
  uint64_t directory_bytes() const { return directory_.capacity() * sizeof(uint32_t); }
  size_t spare_segments() const { return segments_.spare(); }  // without a chunk

  uint64_t Hash(uint64_t key) const {
    const Wide product = static_cast<Wide>(key ^ seed_) * multiplier_;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  // Where the search for a key begins, as long as resizes() stays what it is.
  struct Aim {
    Segment* segment;
    KeyBucket* home;
    Spot spot;
  };
  uint64_t resizes() const { return resizes_; }

  // For many keys at once: each step for all of them, then the next one. PrefetchSegment asks for
  // what AimAt reads, which asks for what a search reads.
  void PrefetchSegment(uint64_t hash) const { indexer::Prefetch(&SegmentOf(hash)); }
  Aim AimAt(uint64_t hash) {
    Segment& segment = segments_[directory_[hash & directory_mask_]];
    const Spot spot = Place(segment, hash);
    PrefetchFrom(segment, spot.home);
    return {&segment, &BucketAt(segment, spot.home), spot};
  }
  void PrefetchBucket(uint64_t hash) const {
    const Segment& segment = SegmentOf(hash);
    PrefetchFrom(segment, Place(segment, hash).home);
  }
  // The first record that may have the key; the owner compares. kNone: no record has it.
  uint32_t FirstCandidate(uint64_t hash) const {
    return Search(hash, [](uint32_t) { return true; });
  }
  uint32_t FirstCandidate(const Aim& aim) const {
    return Search(aim, [](uint32_t) { return true; });
  }

  // The first record that may have the key and for which `is(record)` holds, or kNone.
  template <typename Is>
  uint32_t Search(uint64_t hash, Is is) const {
    const Segment& segment = SegmentOf(hash);
    const Spot spot = Place(segment, hash);
    return Search(segment, BucketAt(segment, spot.home), spot, is);
  }
  template <typename Is>
  uint32_t Search(const Aim& aim, Is is) const {
    return Search(*aim.segment, *aim.home, aim.spot, is);
  }

  // REQUIRES: the record is not in; the owner's key of it is `hash`'s. Records with equal keys
  // are held, but no more than some dozen.
  void Insert(uint64_t hash, uint32_t record);
  void Insert(const Aim& aim, uint64_t hash, uint32_t record) {
    const uint32_t free = FreeCells(*aim.home);
    if (free == 0 || aim.segment->used >= aim.segment->full) {
      Insert(hash, record);
      return;
    }
    PutInto(aim.home, static_cast<uint32_t>(std::countr_zero(free)), aim.spot.tag, 0, record);
    ++aim.segment->used;
    ++size_;
  }
  // REQUIRES: it is in.
  void Erase(uint64_t hash, uint32_t record);

  // Every key can be found, counts are right. For tests.
  void Check() const;

 private:
  struct Entry {
    uint32_t fraction;
    uint32_t record;
  };

  const Segment& SegmentOf(uint64_t hash) const {
    return segments_[directory_[hash & directory_mask_]];
  }
  static uint32_t Fraction(uint64_t hash) {
    return static_cast<uint32_t>(hash >> (64 - kFractionBits));
  }
  static Spot PlaceFraction(const Segment& segment, uint32_t fraction) {
    const uint32_t product = fraction * (segment.pages * KeyPage::kBuckets);
    return {product >> kFractionBits, (product & ((1u << kFractionBits) - 1)) >> kTagShift};
  }
  static Spot Place(const Segment& segment, uint64_t hash) {
    return PlaceFraction(segment, Fraction(hash));
  }
  const KeyBucket& BucketAt(const Segment& segment, uint32_t at) const {
    return (*pages_)[segment.page[at / KeyPage::kBuckets]].buckets[at % KeyPage::kBuckets];
  }
  KeyBucket& BucketAt(const Segment& segment, uint32_t at) {
    return (*pages_)[segment.page[at / KeyPage::kBuckets]].buckets[at % KeyPage::kBuckets];
  }
  // Many go on from their home to the next bucket.
  void PrefetchFrom(const Segment& segment, uint32_t home) const {
    indexer::Prefetch(&BucketAt(segment, home));
    indexer::Prefetch(&BucketAt(segment, Onward(segment, home, 1)));
  }
  static uint32_t DistanceOf(const KeyBucket& bucket, uint32_t cell) {
    return bucket.distances[cell / 4] >> (cell % 4 * 2) & 3u;
  }
  // A bit for each cell whose low tag bits are these.
  static uint32_t MatchTags(const KeyBucket& bucket, uint32_t tag) {
#ifdef __SSE2__
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket));
    const __m128i equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
    return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & ((1u << KeyBucket::kCells) - 1);
#else
    uint32_t match = 0;
    for (uint32_t cell = 0; cell < KeyBucket::kCells; ++cell) {
      match |= (bucket.tags[cell] == (tag & 0xff) ? 1u : 0u) << cell;
    }
    return match;
#endif
  }

  static uint32_t FreeCells(const KeyBucket& bucket) {
#ifdef __SSE2__
    const auto* cells = reinterpret_cast<const __m128i*>(bucket.cells);
    uint32_t free = 0;
    for (uint32_t i = 0; i < KeyBucket::kCells / 4; ++i) {
      const __m128i zero = _mm_cmpeq_epi32(_mm_load_si128(cells + i), _mm_setzero_si128());
      free |= static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(zero))) << (4 * i);
    }
    return free;
#else
    uint32_t free = 0;
    for (uint32_t cell = 0; cell < KeyBucket::kCells; ++cell) {
      free |= (bucket.cells[cell] == 0 ? 1u : 0u) << cell;
    }
    return free;
#endif
  }
  static void SetCell(KeyBucket* bucket, uint32_t cell, uint32_t tag, uint32_t content) {
    bucket->tags[cell] = static_cast<uint8_t>(tag);
    bucket->cells[cell] = content;
  }
  static void SetDistance(KeyBucket* bucket, uint32_t cell, uint32_t distance) {
    const uint32_t shift = cell % 4 * 2;
    uint8_t& bits = bucket->distances[cell / 4];
    bits = static_cast<uint8_t>((bits & ~(3u << shift)) | distance << shift);
  }
  static void PutInto(KeyBucket* bucket, uint32_t cell, uint32_t tag, uint32_t distance,
                      uint32_t record) {
    SetCell(bucket, cell, tag, tag >> 8 << kRecordBits | (record + 1));
    SetDistance(bucket, cell, distance);
  }

  template <typename Is>
  uint32_t Search(const Segment& segment, const KeyBucket& home, const Spot& spot, Is is) const {
    const KeyBucket* bucket = &home;
    for (uint32_t distance = 0;;) {
      for (uint32_t match = MatchTags(*bucket, spot.tag); match != 0; match &= match - 1) {
        const auto cell = static_cast<uint32_t>(std::countr_zero(match));
        const uint32_t content = bucket->cells[cell];
        if (content >> kRecordBits != spot.tag >> 8) continue;
        if ((content & kRecordMask) == 0 || DistanceOf(*bucket, cell) != distance) continue;
        const uint32_t record = (content & kRecordMask) - 1;
        if (is(record)) return record;
      }
      if (bucket->passed == 0 || ++distance > kMaxDistance) return kNone;
      bucket = &BucketAt(segment, Onward(segment, spot.home, distance));
    }
  }
  static uint32_t Onward(const Segment& segment, uint32_t at, uint32_t steps) {
    const uint32_t buckets = segment.pages * KeyPage::kBuckets;
    return at + steps < buckets ? at + steps : at + steps - buckets;
  }

  // The cell of a record that is in; `segment` and `spot` are its key's.
  struct Found {
    uint32_t at;
    uint32_t cell;
    uint32_t distance;
  };
  Found Locate(const Segment& segment, const Spot& spot, uint32_t record) const;

  bool Put(const Segment& segment, Entry entry);
  // Moves keys up until a bucket within reach of `home` has a free cell; how far that bucket is.
  // More than kMaxDistance: none could be made.
  uint32_t MakeFree(const Segment& segment, uint32_t home);
  bool MoveOne(const Segment& segment, uint32_t from, uint32_t steps);
  // As many of them as find a cell without moving others. REQUIRES: it is empty.
  size_t Fill(const Segment& segment, const std::vector<Entry>& entries);
  void Collect(const Segment& segment, std::vector<Entry>* entries) const;
  // Empties it and puts the entries into at least so many pages. False: they do not fit into the
  // most that a segment may have, and it is empty.
  bool Refill(Segment* segment, uint32_t pages, const std::vector<Entry>& entries);
  void SetPages(Segment* segment, uint32_t pages);  // and zeroes them
  void Grow(uint64_t hash);
  // Moves the entries of an emptied segment, one of whose keys has this hash, into four.
  void Split(uint32_t number, uint64_t hash, const std::vector<Entry>& entries);
  uint32_t NewSegment(uint32_t depth);
  void Point(uint64_t hash, uint32_t depth, uint32_t number);

  KeyPages* const pages_;
  const Keys* const keys_;
  const uint64_t seed_;
  const uint64_t multiplier_;
  ChunkArray<Segment> segments_;
  std::vector<uint32_t> directory_;  // by the low bits of a hash
  uint64_t directory_mask_ = 0;
  uint64_t size_ = 0;
  uint64_t resizes_ = 0;
  std::vector<Entry> scratch_;
};

}  // namespace headrace::indexer
