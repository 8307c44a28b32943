#include "indexer/ingest_tails.h"

#include <utility>

namespace headrace::indexer {

void TailTable::Put(EngineKey key, Tail tail) {
  const auto [place, added] = tails_.insert_or_assign(key, std::move(tail));
  if (!added) return;
  order_.push_back(place->first);
  if (tails_.size() <= max_tails_) return;
  HR_CHECK(order_.size() == tails_.size());
  tails_.erase(order_.front());
  order_.pop_front();
  ++forgotten_;
}

const Tail* TailTable::Find(EngineKey key) const {
  const auto known = tails_.find(key);
  return known == tails_.end() ? nullptr : &known->second;
}

}  // namespace headrace::indexer
