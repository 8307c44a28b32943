#include "indexer/ingest.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/random.h"

namespace headrace::indexer {
namespace {

constexpr size_t kMaxMediums = 64;   // spellings that are kept
constexpr int kMaxCopies = 1 << 16;  // of one block in one place

// Whether hits of prefixes depend on a group of this kind, and how. Kinds that nobody knows here
// need all blocks.
std::optional<GroupRule> RuleOf(std::string_view kind) {
  if (kind == "mamba") return GroupRule::kState;
  if (kind == "sliding_window" || kind == "sliding_window_mla" ||
      kind == "chunked_local_attention") {
    return GroupRule::kWindow;
  }
  if (kind == "encoder_only_attention" || kind == "cross_attention") return std::nullopt;
  return GroupRule::kFull;
}

}  // namespace

Digest::Digest(const Parts& parts, const DigestLimits& limits)
    : p_(parts), limits_(limits), pending_(limits.pending), tails_(limits.max_tails) {
  HR_CHECK(p_.index != nullptr && p_.pods != nullptr && p_.keys != nullptr);
  HR_CHECK(p_.tiers != nullptr);
  HR_CHECK(limits_.remembered == 0 || std::has_single_bit(limits_.remembered));
}

Digest::~Digest() = default;

uint64_t Digest::NameSpaceOf(std::string_view model) {
  uint64_t state = 0xcbf29ce484222325;
  for (const char c : model) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return MixBits(state);
}

EngineKey Digest::KeyOf(uint64_t name_space, uint64_t hash) {
  const EngineKey key = MixBits(name_space ^ hash);
  return key == 0 ? 1 : key;
}

Result<Feed> Digest::Open(std::string_view pod, std::string_view model) {
  Feed feed;
  HR_TRY(feed.pod, p_.pods->Intern(pod));
  feed.life = p_.pods->life(feed.pod);
  feed.name_space = NameSpaceOf(model);
  feed.model = model;
  feed.hash_space = feed.name_space;
  return feed;
}

Status Digest::Apply(Feed* feed, const wire::EventBatch& batch, Time now) {
  if (p_.pods->life(feed->pod) != feed->life) {
    ++late_;
    return Fail(Errc::kGone, "the pod was removed");
  }
  now_ = now;
  PodCounters& counters = p_.pods->counters(feed->pod);
  ++counters.batches;
  counters.events += batch.events.size();
  counters.bad += batch.bad;
  counters.unknown += batch.unknown;
  const auto member = p_.pods->Member(feed->pod, feed->name_space, batch.rank);
  if (!member) {
    ++counters.limited;
    return Fail(member.error());
  }
  if (std::find(feed->members.begin(), feed->members.end(), *member) == feed->members.end()) {
    feed->members.push_back(*member);
  }
  // It comes before the blocks that it is about.
  for (const wire::Event& event : batch.events) OnPodsModel(feed, event.pods_model);
  const std::string_view model = feed->pods_model.empty() ? feed->model : feed->pods_model;
  const Source source{*member, feed->hash_space, model, now};
  for (const wire::Event& event : batch.events) {
    switch (event.type) {
      case wire::EventType::kStored:
        OnPods(source, event);
        OnStored(source, event);
        break;
      case wire::EventType::kRemoved:
        OnRemoved(source, event);
        break;
      case wire::EventType::kCleared:
        ++counters.cleared;
        p_.pods->Clear(source.member);
        break;
    }
  }
  return {};
}

void Digest::NewEpoch(Feed* feed) {
  if (p_.pods->life(feed->pod) != feed->life) return;
  for (const PodId member : feed->members) {
    p_.pods->Clear(member);
    p_.pods->Serve(member, feed->name_space, {});
  }
  feed->pods_model.clear();
  feed->hash_space = feed->name_space;
}

void Digest::OnPodsModel(Feed* feed, std::string_view model) {
  if (model.empty() || model == feed->pods_model) return;
  feed->pods_model = model;
  feed->hash_space = NameSpaceOf(model);
  // What it told before was taken for other blocks.
  for (const PodId member : feed->members) {
    p_.pods->Clear(member);
    p_.pods->ServeIn(member, feed->hash_space);
  }
}

void Digest::OnPods(const Source& source, const wire::Event& event) {
  if (event.pods.empty()) return;
  wire::ReadEventPods(event.pods, &names_);
  p_.pods->Serve(source.member, source.name_space, names_);
}

void Digest::Tick(Time now) {
  pending_.Age(now, &left_);
  CountLeft();
  if (p_.intents != nullptr) p_.intents->Expire(now);
}

void Digest::CountLeft() {
  for (const PodId member : left_) {
    ++p_.pods->counters(member).dropped;
    NoLongerWaits(member);
  }
  left_.clear();
}

void Digest::NoLongerWaits(PodId member) {
  // Another pod may have the number by now: what its predecessor waited for is not its own.
  uint64_t& waiting = p_.pods->counters(member).waiting;
  if (waiting > 0) --waiting;
}

bool Digest::RemoveWaiting(const Waiter& like, EngineKey engine) {
  const size_t before = pending_.size();
  if (!pending_.Remove(like, engine)) return false;
  if (pending_.size() < before) NoLongerWaits(like.member);
  return true;
}

uint8_t Digest::TierOf(std::string_view medium) {
  for (const Medium& known : mediums_) {
    if (known.name == medium) return known.tier;
  }
  const uint8_t tier = p_.tiers->Intern(medium);
  if (mediums_.size() < kMaxMediums) mediums_.push_back({std::string(medium), tier});
  return tier;
}

bool Digest::LearnGroup(const Source& source, const wire::Event& event) {
  if (event.group < 0) return true;
  const auto rule = RuleOf(event.spec_kind);
  if (!rule) return false;
  GroupSpec spec{static_cast<int16_t>(event.group), *rule, 0};
  if (*rule == GroupRule::kWindow) spec.window_tokens = event.sliding_window;
  // Updates of other tiers need not repeat what the group is.
  if (event.spec_kind.empty() && p_.pods->FindGroup(source.member, event.group) != nullptr) {
    return true;
  }
  p_.pods->LearnGroup(source.member, spec);
  return true;
}

void Digest::OnStored(const Source& source, const wire::Event& event) {
  PodCounters& counters = p_.pods->counters(source.member);
  if (event.group > INT16_MAX) {
    ++counters.bad;
    return;
  }
  if (event.hashes.empty()) return;
  if (!LearnGroup(source, event)) {
    ++counters.sparse;
    return;
  }
  counters.stored_blocks += event.hashes.size();
  if (event.tokens.empty()) {
    OnHashes(source, event);
    return;
  }
  Store store;
  const Status status = Read(source, event, &store);
  if (!status) {
    ++(status.error().code == Errc::kLimit         ? counters.limited
       : status.error().code == Errc::kUnsupported ? counters.sparse
                                                   : counters.bad);
    return;
  }
  if (!Place(store)) Wait(store, source.now);
}

Status Digest::Read(const Source& source, const wire::Event& event, Store* store) {
  const size_t blocks = event.hashes.size();
  const size_t tokens = event.tokens.size();
  const size_t size = event.block_size != 0 ? event.block_size : tokens / blocks;
  if (size == 0 || tokens % size != 0 || tokens / size != blocks) {
    return Fail(Errc::kUnsupported, "the hashes do not cover the tokens");
  }
  const size_t key = p_.keys->block_tokens();
  if (size % key != 0 && key % size != 0) {
    return Fail(Errc::kUnsupported, "block sizes of which neither is a multiple of the other");
  }
  HR_TRY(auto extras, ParseEventExtras(event.extra_keys, blocks, event.lora_name));
  std::string_view model = source.model;
  if (!extras.lora.empty()) model = extras.lora;
  if (!event.lora_name.empty()) model = event.lora_name;
  HR_TRY(store->hasher, p_.keys->Find(model));
  store->member = source.member;
  store->epoch = p_.pods->epoch(source.member);
  store->tier = TierOf(event.medium);
  store->group = static_cast<int16_t>(event.group);
  store->engine_tokens = static_cast<uint32_t>(size);
  // Some publishers say "no parent" by a 0.
  if (event.parent.value_or(0) != 0) store->parent = KeyOf(source.name_space, *event.parent);
  engine_.clear();
  for (const uint64_t hash : event.hashes) engine_.push_back(KeyOf(source.name_space, hash));
  p_.index->Expect(engine_);  // while the keys are computed
  store->engine = engine_;
  store->tokens = event.tokens;
  store->extras = std::move(extras.blocks);
  return {};
}

void Digest::OnHashes(const Source& source, const wire::Event& event) {
  const uint8_t tier = TierOf(event.medium);
  const auto group = static_cast<int16_t>(event.group);
  const auto holder =
      p_.pods->Holder(source.member, {.pod = source.member, .tier = tier, .group = group});
  if (!holder) {
    ++p_.pods->counters(source.member).limited;
    return;
  }
  engine_.clear();
  keys_.clear();
  std::vector<RequestKey> several;
  for (const uint64_t hash : event.hashes) {
    const EngineKey engine = KeyOf(source.name_space, hash);
    EngineKey known = 0;
    const auto found = FindCopy(source.member, engine, &known);
    if (found.size() == 1) {
      engine_.push_back(known);
      keys_.push_back(found.front());
    } else if (!found.empty()) {
      several.assign(found.begin(), found.end());  // the index may move them
      p_.index->Add(*holder, {&known, 1}, several);
    } else if (!Passes(source.member, engine)) {
      Waiter waiter;
      waiter.member = source.member;
      waiter.epoch = p_.pods->epoch(source.member);
      waiter.tier = tier;
      waiter.group = group;
      waiter.engine = {engine};
      Wait(std::move(waiter), source.now);
    }
  }
  if (!keys_.empty()) p_.index->Add(*holder, engine_, keys_);
}

void Digest::OnRemoved(const Source& source, const wire::Event& event) {
  PodCounters& counters = p_.pods->counters(source.member);
  if (event.group > INT16_MAX) {
    ++counters.bad;
    return;
  }
  counters.removed_blocks += event.hashes.size();
  Waiter like;
  like.member = source.member;
  like.epoch = p_.pods->epoch(source.member);
  like.tier = TierOf(event.medium);
  like.group = static_cast<int16_t>(event.group);
  const HolderId holder = p_.pods->FindHolder(
      source.member, {.pod = source.member, .tier = like.tier, .group = like.group});
  if (holder == kNoHolder && pending_.empty()) return;
  engine_.clear();
  for (const uint64_t hash : event.hashes) {
    engine_.push_back(KeyOf(source.name_space, hash));
    Remember(engine_.back());
  }
  const bool plain = pending_.empty() && private_.empty() && !parts_seen_;
  if (plain && event.remaining_copies.empty()) {
    p_.index->Remove(holder, engine_);
  } else {
    RemoveEach(like, event, holder);
  }
}

void Digest::RemoveEach(const Waiter& like, const wire::Event& event, HolderId holder) {
  const auto& remaining = event.remaining_copies;
  for (size_t i = 0; i < engine_.size(); ++i) {
    const bool counted = i < remaining.size();
    // Who counts its copies tells when the last one went: until then the block is there.
    if (counted && remaining[i] > 0) continue;
    for (int copy = 0; copy < kMaxCopies; ++copy) {
      const bool taken = RemoveOne(like.member, holder, engine_[i]) > 0 ||
                         (!pending_.empty() && RemoveWaiting(like, engine_[i]));
      if (!taken || !counted) break;
    }
  }
}

size_t Digest::RemoveOne(PodId member, HolderId holder, EngineKey engine) {
  if (holder == kNoHolder) return 0;
  const auto take = [&](EngineKey key) { return p_.index->Remove(holder, {&key, 1}); };
  size_t taken = 0;
  if (private_.count(member) != 0) {
    taken = take(OwnKey(member, engine));
    if (taken == 0 && parts_seen_) taken = take(InsideKey(OwnKey(member, engine)));
  }
  if (taken == 0) taken = take(engine);
  if (taken == 0 && parts_seen_) taken = take(InsideKey(engine));
  return taken;
}

void Digest::Remember(EngineKey engine) {
  if (limits_.remembered == 0) return;
  const auto keys = p_.index->Resolve(engine);
  if (keys.size() != 1) return;
  if (remembered_.empty()) remembered_.resize(limits_.remembered);
  remembered_[engine & (limits_.remembered - 1)] = {engine, keys.front()};
}

std::span<const RequestKey> Digest::FindKnown(EngineKey engine) const {
  const auto keys = p_.index->Resolve(engine);
  if (!keys.empty() || remembered_.empty()) return keys;
  const Remembered& slot = remembered_[engine & (limits_.remembered - 1)];
  if (slot.engine != engine) return {};
  return {&slot.key, 1};
}

std::span<const RequestKey> Digest::Find(PodId member, EngineKey engine, EngineKey* known) const {
  *known = engine;
  if (!private_.empty()) {
    // A node means what the pods that it serves mean.
    const auto served = p_.pods->Served(member);
    for (size_t i = 0; i <= served.size(); ++i) {
      const PodId who = i == 0 ? member : served[i - 1];
      if (private_.count(who) == 0) continue;
      const auto keys = FindKnown(OwnKey(who, engine));
      if (keys.empty()) continue;
      *known = OwnKey(who, engine);
      return keys;
    }
  }
  return FindKnown(engine);
}

}  // namespace headrace::indexer
