#include "indexer/shard_share.h"

#include <algorithm>
#include <bit>

namespace headrace::indexer {

ShardShare::ShardShare(const ShardMap* map, size_t self, const Limits& limits)
    : map_(map), self_(self), limits_(limits) {
  HR_CHECK(map_ != nullptr && !map_->whole() && self_ < map_->size());
  HR_CHECK(std::has_single_bit(limits_.stems) && std::has_single_bit(limits_.foreign));
}

size_t ShardShare::Keep(const RequestKey* parent, std::span<const RequestKey> keys) {
  const size_t deciding = map_->first_blocks() - size_t{1};
  size_t position = 0;  // of the first of them
  if (parent != nullptr) {
    if (stems_.empty()) return keys.size();
    const Stem& stem = stems_[*parent & (limits_.stems - 1)];
    if (stem.key != *parent) return keys.size();  // behind the stem: ours, or it would not be here
    position = stem.position + size_t{1};
  }
  HR_CHECK(position <= deciding);
  const size_t stem = std::min(keys.size(), deciding - position);
  if (stem > 0 && stems_.empty()) stems_.resize(limits_.stems);
  for (size_t i = 0; i < stem; ++i) {
    stems_[keys[i] & (limits_.stems - 1)] = {keys[i], static_cast<uint32_t>(position + i)};
  }
  if (stem == keys.size() || map_->OwnerOfKey(keys[stem]) == self_) return keys.size();
  foreign_blocks_ += keys.size() - stem;
  return stem;
}

void ShardShare::AddForeign(EngineKey engine) {
  if (foreign_.empty()) foreign_.resize(limits_.foreign);
  foreign_[engine & (limits_.foreign - 1)] = engine;
}

bool ShardShare::IsForeign(EngineKey engine) const {
  return !foreign_.empty() && foreign_[engine & (limits_.foreign - 1)] == engine;
}

}  // namespace headrace::indexer
