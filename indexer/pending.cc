#include "indexer/pending.h"

#include <algorithm>
#include <utility>

namespace headrace::indexer {
namespace {

// What the maps take for one waiter, roughly.
constexpr size_t kEntryBytes = 256;
constexpr size_t kBlockBytes = 64;

}  // namespace

PendingSet::PendingSet(const PendingLimits& limits) : limits_(limits) {
  HR_CHECK(limits_.max_waiters > 0 && limits_.max_bytes > 0);
}

EngineKey PendingSet::KeyOf(const Waiter& waiter) {
  return waiter.tokens != nullptr ? waiter.parent : waiter.engine.front();
}

size_t PendingSet::BytesOf(const Waiter& waiter) {
  size_t bytes = kEntryBytes;
  if (waiter.tokens == nullptr) return bytes;
  bytes += waiter.engine.size() * kBlockBytes;
  bytes += waiter.tokens->tokens.size() * sizeof(uint32_t);
  for (const auto& block : waiter.tokens->extras) {
    bytes += sizeof(std::vector<EventExtra>);
    for (const EventExtra& key : block) bytes += sizeof(key) + key.text.size();
  }
  return bytes;
}

void PendingSet::Add(Waiter waiter, Time now, std::vector<PodId>* left) {
  HR_CHECK(!waiter.engine.empty());
  HR_CHECK(waiter.tokens != nullptr || waiter.engine.size() == 1);
  const Number number = next_++;
  const size_t bytes = BytesOf(waiter);
  by_key_[KeyOf(waiter)].push_back(number);
  if (waiter.tokens != nullptr) {
    for (const EngineKey engine : waiter.engine) by_block_[engine].push_back(number);
  }
  bytes_ += bytes;
  order_.push_back(number);
  waiters_.emplace(number, Entry{std::move(waiter), now, bytes});
  while (waiters_.size() > limits_.max_waiters || bytes_ > limits_.max_bytes) DropOldest(left);
}

void PendingSet::Forget(std::unordered_map<EngineKey, std::vector<Number>>* map, EngineKey key,
                        Number number) {
  const auto place = map->find(key);
  if (place == map->end()) return;
  std::erase(place->second, number);
  if (place->second.empty()) map->erase(place);
}

Waiter PendingSet::Erase(Number number) {
  const auto place = waiters_.find(number);
  HR_CHECK(place != waiters_.end());
  Waiter waiter = std::move(place->second.waiter);
  HR_CHECK(bytes_ >= place->second.bytes);
  bytes_ -= place->second.bytes;
  waiters_.erase(place);
  Forget(&by_key_, KeyOf(waiter), number);
  if (waiter.tokens != nullptr) {
    for (const EngineKey engine : waiter.engine) Forget(&by_block_, engine, number);
  }
  if (waiters_.empty()) order_.clear();
  return waiter;
}

void PendingSet::DropOldest(std::vector<PodId>* left) {
  HR_CHECK(!order_.empty());
  const Number number = order_.front();
  order_.pop_front();
  if (waiters_.count(number) != 0) left->push_back(Erase(number).member);
}

void PendingSet::Take(EngineKey key, std::vector<Waiter>* out) {
  const auto place = by_key_.find(key);
  if (place == by_key_.end()) return;
  const std::vector<Number> numbers = std::move(place->second);
  by_key_.erase(place);
  for (const Number number : numbers) out->push_back(Erase(number));
}

bool PendingSet::Remove(const Waiter& like, EngineKey engine) {
  const auto matches = [&](Number number) {
    const Waiter& waiter = waiters_.at(number).waiter;
    return waiter.member == like.member && waiter.epoch == like.epoch && waiter.tier == like.tier &&
           waiter.group == like.group;
  };
  const auto hashes = by_key_.find(engine);
  if (hashes != by_key_.end()) {
    for (const Number number : hashes->second) {
      if (waiters_.at(number).waiter.tokens != nullptr || !matches(number)) continue;
      Erase(number);
      return true;
    }
  }
  const auto stores = by_block_.find(engine);
  if (stores == by_block_.end()) return false;
  for (const Number number : stores->second) {
    Waiter& waiter = waiters_.at(number).waiter;
    const auto copies = std::count(waiter.engine.begin(), waiter.engine.end(), engine);
    const auto gone = std::count(waiter.removed.begin(), waiter.removed.end(), engine);
    if (!matches(number) || gone >= copies) continue;
    waiter.removed.push_back(engine);
    return true;
  }
  return false;
}

void PendingSet::Age(Time now, std::vector<PodId>* left) {
  while (!order_.empty()) {
    const auto place = waiters_.find(order_.front());
    if (place != waiters_.end() && now - place->second.since < limits_.max_age) return;
    DropOldest(left);
  }
}

}  // namespace headrace::indexer
