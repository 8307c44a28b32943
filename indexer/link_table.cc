#include "indexer/link_table.h"

namespace headrace::indexer {

LinkTable::LinkTable(ChunkSource* source, KeyPages* pages, uint64_t seed)
    : links_(source),
      engines_(source, pages, seed, &links_),
      keys_(source, pages, seed + 1, &links_) {}

template <uint64_t LinkTable::Link::* kName, uint32_t LinkTable::Link::* kNext>
void LinkTable::Lists<kName, kNext>::Take(uint32_t link) {
  const uint32_t next = (*links_)[link].*kNext;
  uint32_t before = First(KeyOf(link));
  if (before == link) {
    Forget(link);
    if (next != kNone) AddFirst(next);
    return;
  }
  while ((*links_)[before].*kNext != link) before = (*links_)[before].*kNext;
  (*links_)[before].*kNext = next;
}

void LinkTable::Add(EngineKey engine, RequestKey key) {
  HR_CHECK(engine != 0 && key != 0);
  for (uint32_t link = engines_.First(engine); link != kNone; link = links_[link].next_of_engine) {
    if (links_[link].key != key) continue;
    engines_.Take(link);
    Append(link);
    return;
  }
  if (used_ >= KeyTable::kMaxRecords) return;
  uint32_t link = free_;
  if (link != kNone) {
    free_ = links_[link].next_of_engine;
    --free_links_;
  } else {
    link = links_.Append();
  }
  const uint32_t first = keys_.First(key);
  links_[link] = {engine, key, kNone, kNone, 0};
  if (first == kNone) {
    keys_.AddFirst(link);
  } else {  // behind the first one, which the table knows
    links_[link].next_of_key = links_[first].next_of_key;
    links_[first].next_of_key = link;
  }
  Append(link);
  ++used_;
}

void LinkTable::Append(uint32_t link) {
  links_[link].next_of_engine = kNone;
  uint32_t last = engines_.First(links_[link].engine);
  if (last == kNone) {
    engines_.AddFirst(link);
    return;
  }
  while (links_[last].next_of_engine != kNone) last = links_[last].next_of_engine;
  links_[last].next_of_engine = link;
}

void LinkTable::EraseEngine(EngineKey engine) {
  uint32_t link = engines_.First(engine);
  HR_CHECK(link != kNone);
  engines_.Forget(link);
  while (link != kNone) {
    const uint32_t next = links_[link].next_of_engine;
    keys_.Take(link);
    links_[link] = {0, 0, free_, kNone, 0};
    free_ = link;
    ++free_links_;
    --used_;
    link = next;
  }
}

void LinkTable::KeysOf(EngineKey engine, std::vector<RequestKey>* keys) const {
  for (uint32_t link = engines_.First(engine); link != kNone; link = links_[link].next_of_engine) {
    keys->push_back(links_[link].key);
  }
}

void LinkTable::EnginesOf(RequestKey key, std::vector<EngineKey>* engines) const {
  for (uint32_t link = keys_.First(key); link != kNone; link = links_[link].next_of_key) {
    engines->push_back(links_[link].engine);
  }
}

}  // namespace headrace::indexer
