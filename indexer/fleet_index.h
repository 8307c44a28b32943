// What the index's thread owns of the fleet: index, pods, tiers, request keys, digest and scorer,
// put together, and the questions that people and programs ask of them, answered with names.
// No I/O, no thread, no clock. One thread; docs/index_api.md tells what the answers mean.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "indexer/api_json.h"
#include "indexer/config.h"
#include "indexer/ingest.h"
#include "indexer/memory_index.h"
#include "indexer/replica_place.h"
#include "indexer/scorer.h"
#include "indexer/shared_index.h"

namespace headrace::indexer {

// One copy of a block, for people.
struct NamedHolder {
  std::string pod;
  std::string tier;
  int16_t group = -1;
  bool speculative = false;
};
struct NamedBlock {
  RequestKey key = 0;
  EngineKey engine = 0;  // one of its names by engines, mixed with the model; 0: none
  std::vector<NamedHolder> holders;
};

// What lookups came to, as llm-d counts them.
struct ScoreCounters {
  uint64_t requests = 0;
  uint64_t keys_hit = 0;  // summed over requests: the longest prefix that some pod holds
};

class FleetIndex {
 public:
  struct Options {
    wire::HasherOptions hash;
    std::vector<TierWeight> weights;
    uint64_t memory_budget_bytes = 0;
    uint64_t seed = 0;  // random
    DigestLimits digest;
    size_t max_intents = 1u << 20;  // speculative keys
    // Absent: the index is this process's own. Else both outlive the fleet or EndRemote.
    std::shared_ptr<RemoteIndex> remote = nullptr;
    Loop* loop = nullptr;
    ReplicaPlace place = {};  // of a split index only its own part is kept
  };
  // On failure `*message` is the line for the user.
  static Result<std::unique_ptr<FleetIndex>> Create(const Options& options, std::string* message);

  MemoryIndex* index() { return index_.get(); }
  PodTable* pods() { return &pods_; }
  TierTable* tiers() { return &tiers_; }
  Digest* digest() { return digest_.get(); }
  PodIntents* intents() { return &intents_; }
  const ScoreCounters& score_counters() const { return score_counters_; }
  uint64_t foreign_blocks() const { return share_ ? share_->foreign_blocks() : 0; }

  // Best first. `only` names the pods that count, unless it is empty.
  std::vector<NamedScore> Score(std::span<const RequestKey> keys,
                                std::span<const std::string> only);

  // The same answers where others share the index: from the remote one and nowhere else, later,
  // kUnavailable while it is away. At once where nobody does.
  using Scored = std::function<void(Result<std::vector<NamedScore>>)>;
  void ScoreThen(std::span<const RequestKey> keys, std::span<const std::string> only, Scored done);
  using Blocks = std::function<void(Result<std::vector<NamedBlock>>)>;
  void BlockThen(RequestKey key, const Blocks& done);
  void BlocksOfThen(std::string_view model, uint64_t hash, const Blocks& done);
  // Why there is no answer, for people.
  std::string WhyNot(const Error& error) const;
  // Null: nobody shares this index.
  SharedIndex* shared() const { return shared_.get(); }

  // Nothing when nobody holds it.
  std::optional<NamedBlock> Block(RequestKey key) const;
  // The blocks that an engine's hash names in a model.
  std::vector<NamedBlock> BlocksOf(std::string_view model, uint64_t hash) const;
  // A page of all blocks from `cursor` (0: the first) on; the next cursor is 0 behind the last.
  std::vector<NamedBlock> Page(uint64_t cursor, size_t most, uint64_t* next) const;

  // A request went to this pod, so that it will soon hold these blocks: it counts as their holder
  // until it tells of them itself, or until `now` + `ttl`. kNotFound: nobody knows such a pod;
  // kLimit: max_intents.
  struct Intent {
    std::string_view pod;
    std::string_view tier;
    std::span<const RequestKey> keys;
    Duration ttl{};
  };
  Status Announce(const Intent& intent, Time now);
  // Pods that may be announced to before they told of anything. Replaces the list.
  void Expect(std::set<std::string, std::less<>> pods);

  // False when there is no such pod. What is on its way from it counts for nothing.
  bool RemovePod(std::string_view name);

 private:
  FleetIndex(const Options& options, std::unique_ptr<MemoryIndex> index,
             std::unique_ptr<IngestKeys> keys);
  NamedHolder Name(HolderId holder) const;
  RemoteHolder NameForOthers(const HolderInfo& info) const;
  void DescribeForOthers(PodId member, std::span<const GroupSpec> groups) const;
  // All that is told goes here.
  Index* told() { return shared_ != nullptr ? static_cast<Index*>(shared_.get()) : index_.get(); }
  std::vector<NamedScore> Named(const std::vector<RemoteScore>& scores,
                                std::span<const std::string> only);
  void LookupThen(std::vector<RequestKey> keys, EngineKey engine, Blocks done);

  const uint32_t block_tokens_;
  const std::unique_ptr<MemoryIndex> index_;
  const std::unique_ptr<SharedIndex> shared_;  // null: nobody shares it
  const std::unique_ptr<IngestKeys> keys_;
  TierTable tiers_;
  PodTable pods_;
  PodIntents intents_;
  Scorer scorer_;
  const ReplicaPlace place_;
  std::optional<ShardShare> share_;  // of a split index
  std::unique_ptr<Digest> digest_;
  ScoreCounters score_counters_;
  std::set<std::string, std::less<>> expected_;
  std::vector<PodScore> scores_;  // kept from one question to the next
};

}  // namespace headrace::indexer
