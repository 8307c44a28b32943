#include "indexer/fleet_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/bytes.h"

namespace headrace::indexer {

Result<std::unique_ptr<FleetIndex>> FleetIndex::Create(const Options& options,
                                                       std::string* message) {
  auto index =
      MemoryIndex::Create({.seed = options.seed, .max_bytes = options.memory_budget_bytes});
  if (!index) {
    *message = fmt::format("kvBlockIndexConfig.costAwareMemoryConfig.size: {}; write {} or more",
                           index.error().what, FormatSize(MemoryIndex::kMinBudgetBytes));
    return Fail(index.error());
  }
  auto keys = IngestKeys::Create(options.hash);
  if (!keys) {
    *message = fmt::format("tokenProcessorConfig: {}", keys.error().what);
    return Fail(keys.error());
  }
  return std::unique_ptr<FleetIndex>(new FleetIndex(options, std::move(*index), std::move(*keys)));
}

FleetIndex::FleetIndex(const Options& options, std::unique_ptr<MemoryIndex> index,
                       std::unique_ptr<IngestKeys> keys)
    : block_tokens_(options.hash.block_tokens),
      index_(std::move(index)),
      shared_(options.remote == nullptr
                  ? nullptr
                  : std::make_unique<SharedIndex>(
                        options.loop, index_.get(), options.remote,
                        [this](const HolderInfo& info) { return NameForOthers(info); })),
      keys_(std::move(keys)),
      pods_(told()),
      intents_(told(), &pods_, options.max_intents),
      scorer_(index_.get(), &tiers_),
      place_(options.place) {
  for (const TierWeight& tier : options.weights) tiers_.Set(tier.name, tier.weight);
  pods_.OnGroups([this](PodId member, std::span<const GroupSpec> groups) {
    scorer_.SetGroups(member, groups);
    DescribeForOthers(member, groups);
  });
  pods_.OnServed([this](PodId node, std::span<const PodId> pods) {
    scorer_.SetServed(node, pods);
    DescribeForOthers(node, pods_.groups(node));
  });
  if (place_.split() != nullptr) {
    share_.emplace(place_.split(), place_.self(), ShardShare::Limits{});
  }
  digest_ = std::make_unique<Digest>(Digest::Parts{.index = told(),
                                                   .pods = &pods_,
                                                   .keys = keys_.get(),
                                                   .tiers = &tiers_,
                                                   .intents = &intents_,
                                                   .share = share_ ? &*share_ : nullptr},
                                     options.digest);
}

std::vector<NamedScore> FleetIndex::Score(std::span<const RequestKey> keys,
                                          std::span<const std::string> only) {
  scorer_.Score({.keys = keys, .pods = {}, .filter = false, .key_tokens = block_tokens_}, &scores_);
  // Members and nodes score for their pods, so that pods are chosen after this.
  pods_.Fold(&scores_);
  std::unordered_set<PodId> chosen;
  for (const std::string& name : only) {
    if (const auto pod = pods_.Find(name)) chosen.insert(*pod);
  }
  std::vector<NamedScore> named;
  uint32_t longest = 0;
  for (const PodScore& score : scores_) {
    if (!only.empty() && !chosen.contains(score.pod)) continue;
    named.push_back({.pod = pods_.name(score.pod),
                     .score = score.score,
                     .normalized = score.normalized,
                     .blocks = score.blocks,
                     .uncertain = pods_.state(score.pod) == PodState::kUncertain});
    longest = std::max(longest, score.blocks);
  }
  SortScores(&named);
  ++score_counters_.requests;
  score_counters_.keys_hit += longest;
  return named;
}

NamedHolder FleetIndex::Name(HolderId holder) const {
  const HolderInfo& info = index_->holder(holder);
  return {.pod = pods_.name(pods_.ScoredAs(info.pod)),
          .tier = std::string(tiers_.name(info.tier)),
          .group = info.group,
          .speculative = info.speculative};
}

std::optional<NamedBlock> FleetIndex::Block(RequestKey key) const {
  const std::vector<HolderId> holders = index_->Holders(key);
  if (holders.empty()) return std::nullopt;
  NamedBlock block{.key = key, .engine = 0, .holders = {}};
  for (const HolderId holder : holders) block.holders.push_back(Name(holder));
  return block;
}

std::vector<NamedBlock> FleetIndex::BlocksOf(std::string_view model, uint64_t hash) const {
  const EngineKey engine = Digest::KeyOf(Digest::NameSpaceOf(model), hash);
  std::vector<NamedBlock> blocks;
  const std::span<const RequestKey> named = index_->Resolve(engine);
  for (const RequestKey key : std::vector(named.begin(), named.end())) {
    auto block = Block(key);
    if (!block) continue;
    block->engine = engine;
    blocks.push_back(std::move(*block));
  }
  return blocks;
}

std::vector<NamedBlock> FleetIndex::Page(uint64_t cursor, size_t most, uint64_t* next) const {
  HR_CHECK(most > 0 && next != nullptr);
  std::vector<NamedBlock> blocks;
  *next = index_->Visit(cursor, most,
                        [&](RequestKey key, EngineKey engine, std::span<const HolderId> holders) {
                          if (holders.empty()) return;
                          blocks.push_back({.key = key, .engine = engine, .holders = {}});
                          for (const HolderId holder : holders) {
                            blocks.back().holders.push_back(Name(holder));
                          }
                        });
  return blocks;
}

Status FleetIndex::Announce(const Intent& intent, Time now) {
  auto pod = pods_.Find(intent.pod);
  if (!pod && !expected_.contains(intent.pod)) return Fail(Errc::kNotFound, "no such pod");
  if (!pod) {
    HR_TRY(pod, pods_.Intern(intent.pod));
  }
  return intents_.Add(*pod, tiers_.Intern(intent.tier), intent.keys, now, intent.ttl);
}

bool FleetIndex::RemovePod(std::string_view name) {
  const auto pod = pods_.Find(name);
  if (!pod) return false;
  pods_.Remove(*pod);
  HR_CHECK(!pods_.Find(name));
  return true;
}

}  // namespace headrace::indexer
