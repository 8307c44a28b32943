// What a fleet answers where others share its index: from the remote index and nothing else.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "indexer/fleet_index.h"
#include "indexer/remote_names.h"

namespace headrace::indexer {

// Another server has no table of members: their names say whose they are.
RemoteHolder FleetIndex::NameForOthers(const HolderInfo& info) const {
  const PodId pod = pods_.ScoredAs(info.pod);
  RemoteHolder holder{.pod = pods_.name(pod),
                      .tier = std::string(tiers_.name(info.tier)),
                      .group = info.group,
                      .speculative = info.speculative};
  if (pod != info.pod) {
    holder.pod = MemberName(holder.pod, pods_.name_space(info.pod), pods_.rank(info.pod));
  }
  return holder;
}

void FleetIndex::DescribeForOthers(PodId member, std::span<const GroupSpec> groups) const {
  if (shared_ == nullptr) return;
  RemoteRules rules;
  rules.groups.assign(groups.begin(), groups.end());
  for (const PodId pod : pods_.Serves(member)) rules.serves.push_back(pods_.name(pod));
  if (!rules.serves.empty()) rules.serve_space = pods_.serve_space(member);
  shared_->Describe(NameForOthers({.pod = member}).pod, rules);
}

std::string FleetIndex::WhyNot(const Error& error) const {
  const RemoteIndex* const remote = shared_ == nullptr ? nullptr : shared_->remote();
  const std::string trouble = remote == nullptr ? "" : remote->trouble();
  return fmt::format("the shared index cannot be asked: {}",
                     trouble.empty() ? std::string(error.what) : trouble);
}

std::vector<NamedScore> FleetIndex::Named(const std::vector<RemoteScore>& scores,
                                          std::span<const std::string> only) {
  std::map<std::string_view, const RemoteScore*> best;  // of a pod's members
  for (const RemoteScore& score : scores) {
    const std::string_view pod = PodOfMember(score.pod);
    if (!only.empty() && std::find(only.begin(), only.end(), pod) == only.end()) continue;
    const auto [place, added] = best.emplace(pod, &score);
    if (!added && place->second->score < score.score) place->second = &score;
  }
  std::vector<NamedScore> named;
  uint32_t longest = 0;
  for (const auto& [pod, score] : best) {
    const auto known = pods_.Find(pod);
    const bool gap = known && pods_.state(*known) == PodState::kUncertain;
    named.push_back({.pod = std::string(pod),
                     .score = score->score,
                     .normalized = score->normalized,
                     .blocks = score->blocks,
                     .uncertain = gap || shared_->IsBehind(score->pod)});
    longest = std::max(longest, score->blocks);
  }
  SortScores(&named);
  ++score_counters_.requests;
  score_counters_.keys_hit += longest;
  return named;
}

void FleetIndex::ScoreThen(std::span<const RequestKey> keys, std::span<const std::string> only,
                           Scored done) {
  if (shared_ == nullptr) return done(Score(keys, only));
  HR_CHECK(shared_->remote() != nullptr);
  shared_->remote()->Score(
      {.keys = {keys.begin(), keys.end()},
       .pods = {},
       .filter = false,
       .key_tokens = block_tokens_},
      [this, done = std::move(done), only = std::vector(only.begin(), only.end())](
          const Result<std::vector<RemoteScore>>& scores) {
        if (!scores) return done(Fail(scores.error()));
        done(Named(*scores, only));
      });
}

void FleetIndex::LookupThen(std::vector<RequestKey> keys, EngineKey engine, Blocks done) {
  HR_CHECK(shared_->remote() != nullptr);
  shared_->remote()->Lookup(std::move(keys), [engine, done = std::move(done)](
                                                 const Result<std::vector<RemoteBlock>>& found) {
    if (!found) return done(Fail(found.error()));
    std::vector<NamedBlock> blocks;
    for (const RemoteBlock& block : *found) {
      blocks.push_back({.key = block.key, .engine = engine, .holders = {}});
      for (const RemoteHolder& holder : block.holders) {
        blocks.back().holders.push_back({.pod = std::string(PodOfMember(holder.pod)),
                                         .tier = holder.tier,
                                         .group = holder.group,
                                         .speculative = holder.speculative});
      }
    }
    done(std::move(blocks));
  });
}

void FleetIndex::BlockThen(RequestKey key, const Blocks& done) {
  if (shared_ != nullptr) return LookupThen({key}, 0, done);
  std::vector<NamedBlock> blocks;
  if (auto block = Block(key)) blocks.push_back(std::move(*block));
  done(std::move(blocks));
}

// Which blocks a hash names is known to the server that follows the engine.
void FleetIndex::BlocksOfThen(std::string_view model, uint64_t hash, const Blocks& done) {
  if (shared_ == nullptr) return done(BlocksOf(model, hash));
  const EngineKey engine = Digest::KeyOf(Digest::NameSpaceOf(model), hash);
  const std::span<const RequestKey> named = index_->Resolve(engine);
  LookupThen({named.begin(), named.end()}, engine, done);
}

void FleetIndex::Expect(std::set<std::string, std::less<>> pods) {
  for (const std::string& pod : pods) {
    if (shared_ != nullptr && !expected_.contains(pod)) shared_->Forget(pod);
  }
  expected_ = std::move(pods);
}

}  // namespace headrace::indexer
