#include "indexer/shard.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "base/random.h"

namespace headrace::indexer {
namespace {

// FNV-1a-64, and what spreads it: the same everywhere, for ever.
uint64_t HashOf(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return MixBits(hash);
}

// The highest one owns the key (rendezvous hashing): no table, and a replica more or less moves
// only the keys that it wins or loses.
uint64_t Weight(uint64_t replica, uint64_t key) {
  return MixBits(replica ^ MixBits(key));
}

}  // namespace

ShardMap::ShardMap(Options options) : options_(std::move(options)) {
  replicas_.reserve(options_.replicas.size());
  for (const std::string& name : options_.replicas) replicas_.push_back(HashOf(name));
}

Result<ShardMap> ShardMap::Create(Options options) {
  if (options.replicas.empty()) return Fail(Errc::kInvalid, "no index replica is named");
  if (options.replicas.size() > kMaxReplicas) return Fail(Errc::kLimit, "too many index replicas");
  if (options.first_blocks > kMaxFirstBlocks) {
    return Fail(Errc::kLimit, "more first blocks than an owner is chosen by");
  }
  std::unordered_set<std::string> names;
  std::unordered_set<uint64_t> hashes;
  for (const std::string& name : options.replicas) {
    if (name.empty()) return Fail(Errc::kInvalid, "an index replica without a name");
    if (name.size() > kMaxNameBytes) return Fail(Errc::kLimit, "a name is too long");
    if (!names.insert(name).second) return Fail(Errc::kInvalid, "an index replica is named twice");
    if (!hashes.insert(HashOf(name)).second) return Fail(Errc::kInvalid, "two names hash alike");
  }
  return ShardMap(std::move(options));
}

size_t ShardMap::OwnerOfKey(uint64_t deciding_key) const {
  HR_CHECK(!replicas_.empty());
  size_t best = 0;
  uint64_t highest = Weight(replicas_[0], deciding_key);
  for (size_t i = 1; i < replicas_.size(); ++i) {
    const uint64_t weight = Weight(replicas_[i], deciding_key);
    if (weight <= highest) continue;  // never equal: names hash differently, and mixing is 1:1
    highest = weight;
    best = i;
  }
  return best;
}

uint64_t ShardMap::DecidingKey(std::span<const uint64_t> keys) const {
  if (keys.empty()) return 0;
  return keys[std::clamp<size_t>(options_.first_blocks, 1, keys.size()) - 1];
}

size_t ShardMap::OwnerOf(std::span<const uint64_t> keys) const {
  return OwnerOfKey(DecidingKey(keys));
}

void ShardMap::Ask(std::span<const uint64_t> keys, std::vector<size_t>* out) const {
  HR_CHECK(out != nullptr);
  const size_t owner = OwnerOf(keys);
  if (!whole() && keys.size() >= options_.first_blocks) {
    out->assign(1, owner);
    return;
  }
  const uint64_t key = DecidingKey(keys);
  out->resize(replicas_.size());
  std::iota(out->begin(), out->end(), size_t{0});
  std::ranges::sort(*out, [&](size_t a, size_t b) {
    return Weight(replicas_[a], key) > Weight(replicas_[b], key);
  });
  HR_CHECK(out->front() == owner);
}

}  // namespace headrace::indexer
