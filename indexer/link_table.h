// Names of blocks that are not one to one: an engine key that names several request keys, a request
// key that several engines name differently. The plain case never comes here. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "indexer/index.h"
#include "indexer/key_table.h"

namespace headrace::indexer {

class LinkTable {
 public:
  // Both outlive it.
  LinkTable(ChunkSource* source, KeyPages* pages, uint64_t seed);

  // `key` becomes the last one that `engine` names.
  void Add(EngineKey engine, RequestKey key);
  // Nothing is named by it any more. REQUIRES: HasEngine.
  void EraseEngine(EngineKey engine);

  bool HasEngine(EngineKey engine) const { return engines_.First(engine) != KeyTable::kNone; }
  bool HasKey(RequestKey key) const { return keys_.First(key) != KeyTable::kNone; }
  // Appends; in the order in which they were added.
  void KeysOf(EngineKey engine, std::vector<RequestKey>* keys) const;
  void EnginesOf(RequestKey key, std::vector<EngineKey>* engines) const;

  uint64_t size() const { return used_; }
  uint64_t engines() const { return engines_.firsts().size(); }
  uint64_t directory_bytes() const {
    return engines_.firsts().directory_bytes() + keys_.firsts().directory_bytes();
  }
  // Chunks that so many new links may take for their records and the tables of them.
  size_t WorstChunks(size_t links) const {
    return (free_links_ + links_.spare() < links ? 1 : 0) +
           (engines_.firsts().spare_segments() < 4 ? 1 : 0) +
           (keys_.firsts().spare_segments() < 4 ? 1 : 0);
  }

 private:
  static constexpr uint32_t kNone = KeyTable::kNone;

  struct Link {
    EngineKey engine;
    RequestKey key;
    uint32_t next_of_engine;  // or the next free one
    uint32_t next_of_key;
    uint64_t unused;
  };
  static_assert(sizeof(Link) == 32);

  // The links of each name, in lists of which the table finds the first links.
  template <uint64_t Link::* kName, uint32_t Link::* kNext>
  class Lists : public KeyTable::Keys {
   public:
    Lists(ChunkSource* source, KeyPages* pages, uint64_t seed, ChunkArray<Link>* links)
        : links_(links), firsts_(source, pages, this, seed) {}

    const KeyTable& firsts() const { return firsts_; }
    uint32_t First(uint64_t name) const {
      if (firsts_.size() == 0) return kNone;
      return firsts_.Search(firsts_.Hash(name),
                            [&](uint32_t link) { return (*links_)[link].*kName == name; });
    }
    void AddFirst(uint32_t link) { firsts_.Insert(firsts_.Hash(KeyOf(link)), link); }
    void Forget(uint32_t first) { firsts_.Erase(firsts_.Hash(KeyOf(first)), first); }
    void Take(uint32_t link);

    uint64_t KeyOf(uint32_t link) const override { return (*links_)[link].*kName; }
    void PrefetchKey(uint32_t link) const override { indexer::Prefetch(&(*links_)[link]); }

   private:
    ChunkArray<Link>* const links_;
    KeyTable firsts_;
  };

  void Append(uint32_t link);

  ChunkArray<Link> links_;
  Lists<&Link::engine, &Link::next_of_engine> engines_;
  Lists<&Link::key, &Link::next_of_key> keys_;
  uint32_t free_ = kNone;
  size_t free_links_ = 0;
  uint64_t used_ = 0;
};

}  // namespace headrace::indexer
