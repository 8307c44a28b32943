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

  bool HasEngine(EngineKey engine) const { return FirstOfEngine(engine) != KeyTable::kNone; }
  bool HasKey(RequestKey key) const { return FirstOfKey(key) != KeyTable::kNone; }
  // Appends; in the order in which they were added.
  void KeysOf(EngineKey engine, std::vector<RequestKey>* keys) const;
  void EnginesOf(RequestKey key, std::vector<EngineKey>* engines) const;

  uint64_t size() const { return used_; }
  uint64_t engines() const { return by_engine_.size(); }
  uint64_t directory_bytes() const {
    return by_engine_.directory_bytes() + by_key_.directory_bytes();
  }
  // Chunks that so many new links may take for their records and the tables of them.
  size_t WorstChunks(size_t links) const {
    return (free_links_ + links_.spare() < links ? 1 : 0) +
           (by_engine_.spare_segments() < 4 ? 1 : 0) + (by_key_.spare_segments() < 4 ? 1 : 0);
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

  // What the tables find: the first links of the lists.
  class Engines : public KeyTable::Keys {
   public:
    explicit Engines(const LinkTable* table) : table_(table) {}
    uint64_t KeyOf(uint32_t link) const override { return table_->links_[link].engine; }
    void PrefetchKey(uint32_t link) const override { indexer::Prefetch(&table_->links_[link]); }

   private:
    const LinkTable* const table_;
  };
  class RequestKeys : public KeyTable::Keys {
   public:
    explicit RequestKeys(const LinkTable* table) : table_(table) {}
    uint64_t KeyOf(uint32_t link) const override { return table_->links_[link].key; }
    void PrefetchKey(uint32_t link) const override { indexer::Prefetch(&table_->links_[link]); }

   private:
    const LinkTable* const table_;
  };

  uint32_t FirstOfEngine(EngineKey engine) const;
  uint32_t FirstOfKey(RequestKey key) const;
  void Append(uint32_t link);
  void TakeFromEngine(uint32_t link);
  void TakeFromKey(uint32_t link);

  ChunkArray<Link> links_;
  Engines engines_{this};
  RequestKeys keys_{this};
  KeyTable by_engine_;
  KeyTable by_key_;
  uint32_t free_ = kNone;
  size_t free_links_ = 0;
  uint64_t used_ = 0;
};

}  // namespace headrace::indexer
