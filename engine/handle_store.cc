#include "engine/handle_store.h"

#include <cstring>

namespace headrace::engine {

std::shared_ptr<const Prefix> HandleStore::Find(HandleId handle) {
  const auto it = by_id_.find(handle);
  if (it == by_id_.end()) return nullptr;
  order_.splice(order_.end(), order_, it->second);
  return it->second->prefix;
}

void HandleStore::Erase(Order::iterator it, Context* context) {
  HR_CHECK(bytes_ >= it->prefix->bytes.size());
  bytes_ -= it->prefix->bytes.size();
  by_id_.erase(it->id);
  order_.erase(it);
  --context->stats.handles;
}

void HandleStore::Drop(HandleId handle, Context* context) {
  const auto it = by_id_.find(handle);
  if (it != by_id_.end()) Erase(it->second, context);
}

bool HandleStore::DropOne(Context* context) {
  if (order_.empty()) return false;
  Erase(order_.begin(), context);
  return true;
}

void HandleStore::MakeRoom(uint64_t bytes, HandleId keep, Context* context) {
  const Limits& limits = context->limits;
  auto it = order_.begin();
  while (it != order_.end() && (bytes_ + bytes > limits.max_handle_bytes_per_session ||
                                by_id_.size() >= limits.max_handles_per_session)) {
    const auto next = std::next(it);
    if (it->id != keep) {
      Erase(it, context);
      ++context->stats.limit_handles;
      ++context->stats.limit_hits;
    }
    it = next;
  }
}

void HandleStore::Append(Entry* entry, const HashList& tail) {
  // A query that waits may still read the old bytes.
  if (entry->prefix.use_count() > 1) entry->prefix = std::make_shared<Prefix>(*entry->prefix);
  const auto raw = tail.raw();
  entry->prefix->bytes.insert(entry->prefix->bytes.end(), raw.begin(), raw.end());
  bytes_ += raw.size();
}

bool HandleStore::Extend(Entry* entry, uint32_t base_blocks, const HashList& tail,
                         uint64_t max_bytes) {
  const Prefix& prefix = *entry->prefix;
  const size_t from = size_t{base_blocks} * prefix.hash_bytes;
  HR_CHECK(from <= prefix.bytes.size());
  HR_CHECK(tail.empty() || tail.hash_bytes() == prefix.hash_bytes);
  const size_t left = prefix.bytes.size() - from;
  const size_t shared = std::min(left, tail.raw().size());
  if (shared > 0 && std::memcmp(prefix.bytes.data() + from, tail.raw().data(), shared) != 0) {
    return false;
  }
  if (tail.raw().size() <= left) return true;
  if (bytes_ + tail.raw().size() - shared > max_bytes) return false;
  const size_t known = shared / tail.hash_bytes();
  Append(entry, HashList(tail.raw().data() + shared, tail.hash_bytes(), tail.size() - known));
  return true;
}

HandleId HandleStore::Keep(HandleId base, uint32_t base_blocks, const HashList& tail,
                           HandleId fresh, Context* context) {
  const Limits& limits = context->limits;
  const auto it = by_id_.find(base);
  if (it != by_id_.end() &&
      Extend(&*it->second, base_blocks, tail, limits.max_handle_bytes_per_session)) {
    return base;
  }
  auto prefix = std::make_shared<Prefix>();
  prefix->hash_bytes = tail.hash_bytes();
  if (it != by_id_.end()) {
    const Prefix& old = *it->second->prefix;
    prefix->hash_bytes = old.hash_bytes;
    prefix->bytes.assign(old.bytes.begin(),
                         old.bytes.begin() + size_t{base_blocks} * old.hash_bytes);
  }
  prefix->bytes.insert(prefix->bytes.end(), tail.raw().begin(), tail.raw().end());
  if (prefix->bytes.empty()) return 0;
  const uint64_t bytes = prefix->bytes.size();
  MakeRoom(bytes, base, context);
  if (bytes_ + bytes > limits.max_handle_bytes_per_session ||
      by_id_.size() >= limits.max_handles_per_session) {
    ++context->stats.limit_handles;
    ++context->stats.limit_hits;
    return 0;
  }
  order_.push_back({fresh, std::move(prefix)});
  by_id_.emplace(fresh, std::prev(order_.end()));
  bytes_ += bytes;
  ++context->stats.handles;
  return fresh;
}

}  // namespace headrace::engine
