#include "indexer/link_table.h"

namespace headrace::indexer {

LinkTable::LinkTable(ChunkSource* source, KeyPages* pages, uint64_t seed)
    : links_(source),
      by_engine_(source, pages, &engines_, seed),
      by_key_(source, pages, &keys_, seed + 1) {}

uint32_t LinkTable::FirstOfEngine(EngineKey engine) const {
  if (used_ == 0) return kNone;
  return by_engine_.Search(by_engine_.Hash(engine),
                           [&](uint32_t link) { return links_[link].engine == engine; });
}

uint32_t LinkTable::FirstOfKey(RequestKey key) const {
  if (used_ == 0) return kNone;
  return by_key_.Search(by_key_.Hash(key), [&](uint32_t link) { return links_[link].key == key; });
}

void LinkTable::Add(EngineKey engine, RequestKey key) {
  HR_CHECK(engine != 0 && key != 0);
  for (uint32_t link = FirstOfEngine(engine); link != kNone; link = links_[link].next_of_engine) {
    if (links_[link].key != key) continue;
    TakeFromEngine(link);
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
  const uint32_t first = FirstOfKey(key);
  links_[link] = {engine, key, kNone, kNone, 0};
  if (first == kNone) {
    by_key_.Insert(by_key_.Hash(key), link);
  } else {  // behind the first one, which the table knows
    links_[link].next_of_key = links_[first].next_of_key;
    links_[first].next_of_key = link;
  }
  Append(link);
  ++used_;
}

void LinkTable::Append(uint32_t link) {
  const EngineKey engine = links_[link].engine;
  links_[link].next_of_engine = kNone;
  uint32_t last = FirstOfEngine(engine);
  if (last == kNone) {
    by_engine_.Insert(by_engine_.Hash(engine), link);
    return;
  }
  while (links_[last].next_of_engine != kNone) last = links_[last].next_of_engine;
  links_[last].next_of_engine = link;
}

void LinkTable::TakeFromEngine(uint32_t link) {
  const EngineKey engine = links_[link].engine;
  const uint32_t next = links_[link].next_of_engine;
  uint32_t before = FirstOfEngine(engine);
  if (before == link) {
    by_engine_.Erase(by_engine_.Hash(engine), link);
    if (next != kNone) by_engine_.Insert(by_engine_.Hash(engine), next);
    return;
  }
  while (links_[before].next_of_engine != link) before = links_[before].next_of_engine;
  links_[before].next_of_engine = next;
}

void LinkTable::TakeFromKey(uint32_t link) {
  const RequestKey key = links_[link].key;
  const uint32_t next = links_[link].next_of_key;
  uint32_t before = FirstOfKey(key);
  if (before == link) {
    by_key_.Erase(by_key_.Hash(key), link);
    if (next != kNone) by_key_.Insert(by_key_.Hash(key), next);
    return;
  }
  while (links_[before].next_of_key != link) before = links_[before].next_of_key;
  links_[before].next_of_key = next;
}

void LinkTable::EraseEngine(EngineKey engine) {
  uint32_t link = FirstOfEngine(engine);
  HR_CHECK(link != kNone);
  by_engine_.Erase(by_engine_.Hash(engine), link);
  while (link != kNone) {
    const uint32_t next = links_[link].next_of_engine;
    TakeFromKey(link);
    links_[link] = {0, 0, free_, kNone, 0};
    free_ = link;
    ++free_links_;
    --used_;
    link = next;
  }
}

void LinkTable::KeysOf(EngineKey engine, std::vector<RequestKey>* keys) const {
  for (uint32_t link = FirstOfEngine(engine); link != kNone; link = links_[link].next_of_engine) {
    keys->push_back(links_[link].key);
  }
}

void LinkTable::EnginesOf(RequestKey key, std::vector<EngineKey>* engines) const {
  for (uint32_t link = FirstOfKey(key); link != kNone; link = links_[link].next_of_key) {
    engines->push_back(links_[link].engine);
  }
}

}  // namespace headrace::indexer
