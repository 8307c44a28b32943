// Turns events into what the index keeps: the engine's hashes become engine keys of their name
// space, tokens become request keys, and each copy gets its holder. Pure: no I/O, no clock. The
// index's thread. docs/indexer.md tells the rules.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "indexer/index.h"
#include "indexer/ingest_keys.h"
#include "indexer/ingest_tails.h"
#include "indexer/pending.h"
#include "indexer/pod_intents.h"
#include "indexer/pod_table.h"
#include "indexer/shard_share.h"
#include "indexer/tiers.h"
#include "wire/event.h"

namespace headrace::indexer {

struct DigestLimits {
  PendingLimits pending;
  size_t max_tails = 1u << 18;
  // Engine keys of removed blocks that are remembered, so that a hash-only event which comes late
  // still finds its block. 16 bytes each, taken with the first; a power of two, or 0.
  size_t remembered = 1u << 20;
};

// What one stream says about one pod (or node) and model. Made by Digest::Open; one thread.
struct Feed {
  PodId pod = kNoPod;
  uint32_t life = 0;
  uint64_t name_space = 0;     // of the topic: which member of the pod it tells of
  std::string model;           // of the topic
  std::vector<PodId> members;  // that it has told of
  // What the pods that a node serves call the model; "" until it says so, and of engines.
  std::string pods_model;
  uint64_t hash_space = 0;  // of the engines whose hashes these are
};

class Digest {
 public:
  struct Parts {
    Index* index = nullptr;
    PodTable* pods = nullptr;
    IngestKeys* keys = nullptr;
    TierTable* tiers = nullptr;
    PodIntents* intents = nullptr;  // may be null
    ShardShare* share = nullptr;    // null: every block is kept here
  };
  Digest(const Parts& parts, const DigestLimits& limits);
  ~Digest();

  Result<Feed> Open(std::string_view pod, std::string_view model);
  // kGone: the pod was removed since Open: what was on its way counts for nothing.
  Status Apply(Feed* feed, const wire::EventBatch& batch, Time now);
  // The publisher began anew: all that this feed told is over.
  void NewEpoch(Feed* feed);

  // Ages what waits, and ends speculative entries.
  void Tick(Time now);

  // How an engine calls a block in the index.
  static EngineKey KeyOf(uint64_t name_space, uint64_t hash);
  static uint64_t NameSpaceOf(std::string_view model);

  size_t pending() const { return pending_.size(); }
  size_t pending_bytes() const { return pending_.bytes(); }
  size_t tails() const { return tails_.size(); }
  uint64_t late() const { return late_; }  // batches of an ended life
  // Pods whose hashes mean other blocks than those of others of their model.
  size_t at_odds() const { return private_.size(); }

 private:
  // Who says it, and where.
  struct Source {
    PodId member = kNoPod;
    uint64_t name_space = 0;  // of the engine's hashes
    std::string_view model;
    Time now;
  };
  // A store of blocks with tokens, from an event or from one that waited.
  struct Store {
    PodId member = kNoPod;
    uint32_t epoch = 0;
    uint8_t tier = 0;
    int16_t group = -1;
    const wire::BlockHasher* hasher = nullptr;
    uint32_t engine_tokens = 0;
    std::optional<EngineKey> parent;
    std::span<const EngineKey> engine;
    std::span<const EngineKey> removed;
    std::span<const uint32_t> tokens;
    std::vector<std::vector<EventExtra>> extras;  // empty, or one an engine block
  };
  struct Parted;  // a chain of blocks smaller than a key

  // What a node says of the pods that it serves.
  void OnPodsModel(Feed* feed, std::string_view model);
  void OnPods(const Source& source, const wire::Event& event);

  // The events of a batch.
  void OnStored(const Source& source, const wire::Event& event);
  void OnHashes(const Source& source, const wire::Event& event);
  void OnRemoved(const Source& source, const wire::Event& event);
  void RemoveEach(const Waiter& like, const wire::Event& event, HolderId holder);
  size_t RemoveOne(PodId member, HolderId holder, EngineKey engine);
  bool LearnGroup(const Source& source, const wire::Event& event);
  Status Read(const Source& source, const wire::Event& event, Store* store);

  // Where a store belongs (ingest_place.cc). False: its parent is not known yet.
  bool Place(const Store& store);
  void PlaceWhole(const Store& store, const RequestKey* parent);
  bool BeginParts(const Store& store, Parted* chain) const;
  void PlaceParts(const Store& store, const Parted& chain);
  void KeepTails(const Store& store, const Parted& chain, size_t end);
  void Hold(const Store& store, std::span<const EngineKey> engine, size_t kept);
  void AddKept(HolderId holder, std::span<const EngineKey> engine, size_t kept);
  // Blocks that another replica keeps.
  size_t Keep(const RequestKey* parent);
  bool IsForeign(PodId member, EngineKey engine) const;
  bool IsHalf(PodId member, EngineKey engine) const;  // ends behind the stem, and begins in it
  // As Find, for copies: a half is found by what is kept of it.
  std::span<const RequestKey> FindCopy(PodId member, EngineKey engine, EngineKey* known) const;
  // A hash for which there is nothing to do here, now or later.
  bool Passes(PodId member, EngineKey engine) const;
  void AddForeign(PodId member, std::span<const EngineKey> engine);
  bool PassForeign(const Store& store);
  bool Contradicts(PodId member, EngineKey engine, RequestKey key) const;

  void Wait(const Store& store, Time now);
  void Wait(Waiter waiter, Time now);
  void Taught(std::span<const EngineKey> engine);
  void Release();
  bool Resume(Waiter* waiter);
  void CountLeft();
  void NoLongerWaits(PodId member);
  bool RemoveWaiting(const Waiter& like, EngineKey engine);

  // How the index knows an engine key that this member uses, and what it names; empty: nothing.
  std::span<const RequestKey> Find(PodId member, EngineKey engine, EngineKey* known) const;
  std::span<const RequestKey> FindKnown(EngineKey engine) const;
  // Of the middle of a key, where it needs a name; of a member that is at odds with others.
  static EngineKey InsideKey(EngineKey engine);
  static EngineKey OwnKey(PodId member, EngineKey engine);
  void Remember(EngineKey engine);
  uint8_t TierOf(std::string_view medium);

  const Parts p_;
  const DigestLimits limits_;
  PendingSet pending_;
  TailTable tails_;
  std::unordered_set<PodId> private_;  // members whose engine keys are their own

  struct Remembered {
    EngineKey engine = 0;
    RequestKey key = 0;
  };
  std::vector<Remembered> remembered_;  // a slot for each key's low bits
  struct Medium {
    std::string name;
    uint8_t tier = 0;
  };
  std::vector<Medium> mediums_;

  // Kept from one event to the next: no allocation once warm.
  std::vector<EngineKey> engine_;
  std::vector<RequestKey> keys_;
  std::vector<Waiter> ready_;
  std::vector<PodId> left_;
  std::vector<std::string_view> names_;
  Time now_;
  bool releasing_ = false;
  bool parts_seen_ = false;  // some engine's blocks are smaller than a key
  uint64_t late_ = 0;
};

}  // namespace headrace::indexer
