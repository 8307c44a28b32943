// Where a store belongs: behind its parent, in blocks of the index, held by its pod.
#include <algorithm>
#include <utility>

#include "base/random.h"
#include "indexer/ingest.h"

namespace headrace::indexer {

// Blocks of an engine that are smaller than a key, from the beginning of a key on.
struct Digest::Parted {
  std::optional<RequestKey> base;  // the key in front; absent: the root
  size_t known = 0;                // of the blocks, those that other events told
  std::vector<EngineKey> engine;
  std::vector<uint32_t> tokens;
  std::vector<std::vector<EventExtra>> extras;
};

EngineKey Digest::InsideKey(EngineKey engine) {
  return MixBits(engine ^ 0x1e5de7a9c3b4f085);
}

EngineKey Digest::OwnKey(PodId member, EngineKey engine) {
  return MixBits(engine ^ MixBits(0x9e3779b97f4a7c15 + member));
}

bool Digest::Place(const Store& store) {
  HR_CHECK(store.tokens.size() == store.engine.size() * store.engine_tokens);
  if (store.engine_tokens < p_.keys->block_tokens()) {
    parts_seen_ = true;
    Parted chain;
    if (!BeginParts(store, &chain)) return PassForeign(store);
    PlaceParts(store, chain);
    return true;
  }
  if (!store.parent) {
    PlaceWhole(store, nullptr);
    return true;
  }
  EngineKey known = 0;
  const auto found = Find(store.member, *store.parent, &known);
  if (found.empty()) return PassForeign(store);
  const RequestKey parent = found.back();
  PlaceWhole(store, &parent);
  return true;
}

void Digest::PlaceWhole(const Store& store, const RequestKey* parent) {
  std::vector<wire::ExtraKeys> extras;
  if (!store.extras.empty()) {
    extras = RealignExtras(store.extras, store.engine_tokens, p_.keys->block_tokens(),
                           parent == nullptr);
  }
  if (parent == nullptr) {
    store.hasher->Keys(store.tokens, extras, &keys_);
  } else {
    store.hasher->KeysAfter(*parent, store.tokens, extras, &keys_);
  }
  HR_CHECK(keys_.size() % store.engine.size() == 0);
  const size_t kept = Keep(parent);
  Hold(store, store.engine, kept);
  AddForeign(store.member, store.engine.subspan(kept * store.engine.size() / keys_.size()));
  Taught(store.engine);
}

size_t Digest::Keep(const RequestKey* parent) {
  return p_.share == nullptr ? keys_.size() : p_.share->Keep(parent, keys_);
}

bool Digest::IsForeign(PodId member, EngineKey engine) const {
  if (p_.share == nullptr) return false;
  if (private_.count(member) != 0 && p_.share->IsForeign(OwnKey(member, engine))) return true;
  return p_.share->IsForeign(engine);
}

bool Digest::IsHalf(PodId member, EngineKey engine) const {
  if (p_.share == nullptr) return false;
  if (private_.count(member) != 0) engine = OwnKey(member, engine);
  return p_.share->IsForeign(InsideKey(engine));
}

std::span<const RequestKey> Digest::FindCopy(PodId member, EngineKey engine,
                                             EngineKey* known) const {
  const auto found = Find(member, engine, known);
  if (!found.empty() || !IsHalf(member, engine)) return found;
  *known = InsideKey(private_.count(member) != 0 ? OwnKey(member, engine) : engine);
  return FindKnown(*known);
}

bool Digest::Passes(PodId member, EngineKey engine) const {
  // The middle of a key: the block that ends it stands for it.
  if (tails_.Find(engine) != nullptr) return true;
  return IsForeign(member, engine) && !IsHalf(member, engine);
}

void Digest::AddForeign(PodId member, std::span<const EngineKey> engine) {
  if (p_.share == nullptr) return;
  const bool own = private_.count(member) != 0;
  for (const EngineKey key : engine) p_.share->AddForeign(own ? OwnKey(member, key) : key);
}

// What goes on from a block that another replica keeps is that one's, too.
bool Digest::PassForeign(const Store& store) {
  if (!IsForeign(store.member, *store.parent)) return false;
  AddForeign(store.member, store.engine);
  Taught(store.engine);
  return true;
}

bool Digest::BeginParts(const Store& store, Parted* chain) const {
  std::vector<const Tail*> before;  // the last one first
  std::vector<EngineKey> names;
  if (store.parent) {
    EngineKey known = 0;
    const auto found = Find(store.member, *store.parent, &known);
    if (!found.empty()) {
      chain->base = found.back();
    } else {
      EngineKey at = *store.parent;
      const size_t most = p_.keys->block_tokens() / store.engine_tokens;
      while (at != 0) {
        const Tail* tail = tails_.Find(at);
        // Forgotten, of blocks of another size, or a circle of hashes that nobody computed.
        if (tail == nullptr || tail->tokens.size() != store.engine_tokens) return false;
        if (before.size() >= most) return false;
        before.push_back(tail);
        names.push_back(at);
        at = tail->before;
      }
      chain->base = before.back()->base;
    }
  }
  for (size_t i = before.size(); i-- > 0;) {
    chain->engine.push_back(names[i]);
    chain->tokens.insert(chain->tokens.end(), before[i]->tokens.begin(), before[i]->tokens.end());
    chain->extras.push_back(before[i]->extras);
  }
  chain->known = before.size();
  chain->engine.insert(chain->engine.end(), store.engine.begin(), store.engine.end());
  chain->tokens.insert(chain->tokens.end(), store.tokens.begin(), store.tokens.end());
  chain->extras.insert(chain->extras.end(), store.extras.begin(), store.extras.end());
  chain->extras.resize(chain->engine.size());
  return true;
}

void Digest::PlaceParts(const Store& store, const Parted& chain) {
  const uint32_t key_tokens = p_.keys->block_tokens();
  const size_t parts = key_tokens / store.engine_tokens;
  const size_t whole = chain.engine.size() / parts;
  const auto tokens = std::span(chain.tokens).first(whole * key_tokens);
  const auto extras = RealignExtras(chain.extras, store.engine_tokens, key_tokens, !chain.base);
  HR_CHECK(extras.size() == whole);
  if (chain.base) {
    store.hasher->KeysAfter(*chain.base, tokens, extras, &keys_);
  } else {
    store.hasher->Keys(tokens, extras, &keys_);
  }
  const size_t kept = Keep(chain.base ? &*chain.base : nullptr);
  // Inside the first key that another replica keeps, a chain may branch into one of ours.
  const size_t end = kept < whole ? (kept + 1) * parts : chain.engine.size();
  KeepTails(store, chain, end);
  if (whole > 0) {
    // Only the block that ends a key stands for it as a parent; the others find it for removals.
    std::vector<EngineKey> engine(whole * parts);
    for (size_t i = 0; i < engine.size(); ++i) {
      engine[i] = i % parts == parts - 1 ? chain.engine[i] : InsideKey(chain.engine[i]);
    }
    Hold(store, engine, kept);
  }
  if (kept < whole) AddForeign(store.member, std::span(chain.engine).subspan(end - 1));
  Taught(store.engine);
}

void Digest::KeepTails(const Store& store, const Parted& chain, size_t end) {
  const size_t size = store.engine_tokens;
  const size_t parts = p_.keys->block_tokens() / size;
  for (size_t i = chain.known; i < end; ++i) {
    if (i % parts == parts - 1) continue;
    Tail tail;
    if (i % parts != 0) tail.before = chain.engine[i - 1];
    tail.base = chain.base;
    if (i >= parts) tail.base = keys_[i / parts - 1];
    tail.tokens.assign(chain.tokens.begin() + static_cast<ptrdiff_t>(i * size),
                       chain.tokens.begin() + static_cast<ptrdiff_t>((i + 1) * size));
    tail.extras = chain.extras[i];
    tails_.Put(chain.engine[i], std::move(tail));
  }
}

bool Digest::Contradicts(PodId member, EngineKey engine, RequestKey key) const {
  if (private_.count(member) != 0) return false;
  const auto known = p_.index->Resolve(engine);
  return !known.empty() && known.back() != key;
}

void Digest::Hold(const Store& store, std::span<const EngineKey> engine, size_t kept) {
  const auto holder = p_.pods->Holder(
      store.member, {.pod = store.member, .tier = store.tier, .group = store.group});
  if (!holder) {
    ++p_.pods->counters(store.member).limited;
    return;
  }
  // An engine whose hashes mean other blocks than those of its model's other engines (another
  // seed of the hash, other weights under one name) has engine keys of its own from here on. Hashes
  // are chained: where the first and the last agree, those between do.
  const size_t first = std::max<size_t>(keys_.size() / engine.size(), 1) - 1;
  if (Contradicts(store.member, engine.back(), keys_.back()) ||
      (keys_.size() >= engine.size() && Contradicts(store.member, engine.front(), keys_[first]))) {
    private_.insert(store.member);
  }
  std::vector<EngineKey> own;
  if (private_.count(store.member) != 0) {
    for (const EngineKey key : engine) own.push_back(OwnKey(store.member, key));
    engine = own;
  }
  AddKept(*holder, engine, kept);
  if (p_.intents != nullptr) p_.intents->Confirm(store.member, keys_);
  for (const EngineKey removed : store.removed) RemoveOne(store.member, *holder, removed);
}

void Digest::AddKept(HolderId holder, std::span<const EngineKey> engine, size_t kept) {
  const std::span<const RequestKey> keys(keys_);
  if (kept == keys.size()) {
    p_.index->Add(holder, engine, keys);
    return;
  }
  const size_t whole = kept * engine.size() / keys.size();
  const size_t covered = whole * keys.size() / engine.size();
  if (whole > 0) p_.index->Add(holder, engine.first(whole), keys.first(covered));
  if (covered == kept) return;
  // Half of an engine's block is kept: no parent, but a removal must find it.
  parts_seen_ = true;
  const EngineKey inside = InsideKey(engine[whole]);
  p_.share->AddForeign(inside);
  p_.index->Add(holder, {&inside, 1}, keys.subspan(covered, kept - covered));
}

void Digest::Wait(const Store& store, Time now) {
  HR_CHECK(store.parent.has_value());
  Waiter waiter;
  waiter.member = store.member;
  waiter.epoch = store.epoch;
  waiter.tier = store.tier;
  waiter.group = store.group;
  waiter.parent = *store.parent;
  waiter.engine.assign(store.engine.begin(), store.engine.end());
  waiter.removed.assign(store.removed.begin(), store.removed.end());
  waiter.tokens = std::make_unique<WaitingTokens>();
  waiter.tokens->hasher = store.hasher;
  waiter.tokens->engine_tokens = store.engine_tokens;
  waiter.tokens->tokens.assign(store.tokens.begin(), store.tokens.end());
  waiter.tokens->extras = store.extras;
  Wait(std::move(waiter), now);
}

void Digest::Wait(Waiter waiter, Time now) {
  PodCounters& counters = p_.pods->counters(waiter.member);
  ++counters.waited;
  ++counters.waiting;
  pending_.Add(std::move(waiter), now, &left_);
  CountLeft();
}

void Digest::Taught(std::span<const EngineKey> engine) {
  if (pending_.empty()) return;
  for (const EngineKey key : engine) pending_.Take(key, &ready_);
  if (!releasing_) Release();
}

void Digest::Release() {
  releasing_ = true;
  // One that is placed may teach what the next one waits for: it joins the end of the list.
  for (size_t i = 0; i < ready_.size(); ++i) {
    Waiter waiter = std::move(ready_[i]);
    if (waiter.epoch != p_.pods->epoch(waiter.member)) {
      left_.push_back(waiter.member);
      continue;
    }
    NoLongerWaits(waiter.member);
    if (!Resume(&waiter)) Wait(std::move(waiter), now_);
  }
  CountLeft();
  ready_.clear();
  releasing_ = false;
}

bool Digest::Resume(Waiter* waiter) {
  Store store;
  store.member = waiter->member;
  store.epoch = waiter->epoch;
  store.tier = waiter->tier;
  store.group = waiter->group;
  store.engine = waiter->engine;
  if (waiter->tokens != nullptr) {
    store.hasher = waiter->tokens->hasher;
    store.engine_tokens = waiter->tokens->engine_tokens;
    store.parent = waiter->parent;
    store.removed = waiter->removed;
    store.tokens = waiter->tokens->tokens;
    store.extras = waiter->tokens->extras;
    return Place(store);
  }
  EngineKey known = 0;
  const auto found = FindCopy(waiter->member, waiter->engine.front(), &known);
  if (found.empty()) return Passes(waiter->member, waiter->engine.front());
  keys_.assign(found.begin(), found.end());
  const auto holder = p_.pods->Holder(
      store.member, {.pod = store.member, .tier = store.tier, .group = store.group});
  if (holder) p_.index->Add(*holder, {&known, 1}, keys_);
  return true;
}

}  // namespace headrace::indexer
