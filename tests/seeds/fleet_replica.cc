#include "tests/seeds/fleet_replica.h"

#include <algorithm>

namespace headrace::seeds {
namespace {

using indexer::DigestLimits;
using indexer::kBlockTokens;

std::unique_ptr<indexer::IngestKeys> MakeKeys() {
  return *indexer::IngestKeys::Create(
      {.algo = wire::HashAlgo::kXxh64, .seed = "", .block_tokens = kBlockTokens});
}

}  // namespace

FleetReplica::FleetReplica(const indexer::ShardMap* map, size_t self,
                           const std::vector<std::unique_ptr<indexer::Publisher>>& publishers,
                           Time now)
    : index_(*indexer::MemoryIndex::Create({.seed = self + 1})),
      pods_(index_.get()),
      keys_(MakeKeys()),
      share_(map, self, {.stems = 1u << 14, .foreign = 1u << 18}),
      digest_({index_.get(), &pods_, keys_.get(), &tiers_, nullptr, &share_},
              DigestLimits{.remembered = 1u << 16}),
      scorer_(index_.get(), &tiers_) {
  pods_.OnServed([this](indexer::PodId node, std::span<const indexer::PodId> pods) {
    scorer_.SetServed(node, pods);
  });
  for (const auto& publisher : publishers) {
    links_.push_back(
        std::make_unique<indexer::Link>(publisher.get(), &digest_, &pods_, /*snapshot=*/true));
    links_.back()->Connect(now);
  }
}

void FleetReplica::Step(Time now, Random* random, indexer::Faults* faults) {
  for (const auto& link : links_) link->Step(now, random, faults);
  digest_.Tick(now);
  index_->Sweep(256);
}

bool FleetReplica::quiet() const {
  return std::all_of(links_.begin(), links_.end(), [](const auto& link) { return link->quiet(); });
}

std::vector<indexer::RequestKey> FleetReplica::KeysOf(uint32_t chain, uint32_t blocks) {
  std::vector<indexer::RequestKey> keys;
  HR_CHECK(keys_->PromptKeys("m", {}, indexer::TokensOf(chain, 0, blocks), &keys).has_value());
  return keys;
}

FleetReplica::Scores FleetReplica::Score(const std::vector<indexer::RequestKey>& keys) {
  std::vector<indexer::PodScore> scores;
  scorer_.Score({.keys = keys, .pods = {}, .filter = false, .key_tokens = kBlockTokens}, &scores);
  pods_.Fold(&scores);
  Scores named;
  for (const indexer::PodScore& score : scores) named[pods_.name(score.pod)] = score.score;
  return named;
}

indexer::FollowCounters FleetReplica::counters() const {
  indexer::FollowCounters sum;
  for (const auto& link : links_) sum.Add(link->follower().counters());
  return sum;
}

}  // namespace headrace::seeds
