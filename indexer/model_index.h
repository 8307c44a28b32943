// What every index must do, as plainly as it can be written: maps, no sharing, no cache. Tests
// compare the real ones with it. One thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "indexer/index.h"
#include "indexer/scorer.h"

namespace headrace::indexer {

class ModelIndex : public Index {
 public:
  HolderId AddHolder(const HolderInfo& info) override {
    for (HolderId id = 0; id < holders_.size(); ++id) {
      if (holders_[id].state == State::kLive && Same(holders_[id].info, info)) return id;
    }
    for (HolderId id = 0; id < holders_.size(); ++id) {
      if (holders_[id].state != State::kFree) continue;
      holders_[id] = {info, State::kLive};
      return id;
    }
    holders_.push_back({info, State::kLive});
    return static_cast<HolderId>(holders_.size() - 1);
  }
  void EndHolder(HolderId holder) override { holders_.at(holder).state = State::kEnded; }
  const HolderInfo& holder(HolderId holder) const override { return holders_.at(holder).info; }

  void Add(HolderId holder, std::span<const EngineKey> engine,
           std::span<const RequestKey> keys) override {
    if (!Live(holder)) return;
    for (const RequestKey key : keys) {
      if (key != 0) ++blocks_[key][holder];
    }
    if (engine.empty() || keys.empty()) return;
    const size_t most = std::max(engine.size(), keys.size());
    for (size_t k = 0; k < most; ++k) {
      Link(engine[k * engine.size() / most], keys[k * keys.size() / most]);
    }
  }

  size_t Remove(HolderId holder, std::span<const EngineKey> engine) override {
    size_t taken = 0;
    for (const EngineKey name : engine) {
      const auto named = links_.find(name);
      if (named == links_.end()) continue;
      taken += RemoveKeys(holder, std::vector<RequestKey>(named->second));
    }
    return taken;
  }

  size_t RemoveKeys(HolderId holder, std::span<const RequestKey> keys) override {
    if (!Live(holder)) return 0;
    size_t taken = 0;
    for (const RequestKey key : keys) {
      const auto block = blocks_.find(key);
      if (block == blocks_.end()) continue;
      const auto copy = block->second.find(holder);
      if (copy == block->second.end()) continue;
      ++taken;
      if (--copy->second == 0) block->second.erase(copy);
      if (block->second.empty()) Free(key);
    }
    return taken;
  }

  std::span<const RequestKey> Resolve(EngineKey engine) const override {
    const auto named = links_.find(engine);
    if (named == links_.end()) return {};
    return named->second;
  }

  bool Sweep(size_t) override {
    std::vector<RequestKey> empty;
    for (auto& [key, copies] : blocks_) {
      std::erase_if(copies, [&](const auto& copy) { return !Live(copy.first); });
      if (copies.empty()) empty.push_back(key);
    }
    for (const RequestKey key : empty) Free(key);
    for (auto& record : holders_) {
      if (record.state == State::kEnded) record.state = State::kFree;
    }
    return false;
  }

  IndexStats stats() const override {
    IndexStats stats;
    stats.blocks = blocks_.size();
    stats.engine_keys = links_.size();
    std::set<std::vector<HolderId>> sets;
    for (const auto& [key, copies] : blocks_) {
      std::vector<HolderId> set;
      for (const auto& [id, count] : copies) set.push_back(id);
      sets.insert(set);
    }
    stats.holder_sets = sets.size();
    for (const auto& record : holders_) stats.holders += record.state == State::kFree ? 0 : 1;
    return stats;
  }

  std::vector<HolderId> Holders(RequestKey key) const override {
    std::vector<HolderId> live;
    const auto block = blocks_.find(key);
    if (block == blocks_.end()) return live;
    for (const auto& [id, count] : block->second) {
      if (Live(id)) live.push_back(id);
    }
    return live;
  }

  uint64_t Visit(uint64_t cursor, size_t most,
                 const std::function<void(RequestKey, EngineKey, std::span<const HolderId>)>& visit)
      const override {
    uint64_t at = 0;
    for (const auto& [key, copies] : blocks_) {
      if (at++ < cursor) continue;
      if (most-- == 0) return at - 1;
      EngineKey engine = 0;
      for (const auto& [name, keys] : links_) {
        if (engine == 0 && std::find(keys.begin(), keys.end(), key) != keys.end()) engine = name;
      }
      visit(key, engine, Holders(key));
    }
    return 0;
  }

  // The scorer's rules, for pods with one KV group and, by `groups`, for those with several.
  std::vector<PodScore> Score(const ScoreRequest& request, const TierTable& tiers,
                              const std::map<PodId, std::vector<GroupSpec>>& groups) const {
    std::set<PodId> pods;
    for (HolderId id = 0; id < holders_.size(); ++id) {
      if (!Live(id)) continue;
      pods.insert(holders_[id].info.pod);
      for (const auto& [node, list] : served) {
        if (node == holders_[id].info.pod) pods.insert(list.begin(), list.end());
      }
    }
    if (request.filter) {
      std::erase_if(pods, [&](PodId pod) {
        return std::count(request.pods.begin(), request.pods.end(), pod) == 0;
      });
    }
    std::vector<PodScore> scores;
    for (const PodId pod : pods) {
      const auto several = groups.find(pod);
      const PodScore score = several == groups.end()
                                 ? ScorePlain(pod, request, tiers)
                                 : ScoreGroups(pod, request, tiers, several->second);
      if (score.blocks > 0) scores.push_back(score);
    }
    for (PodScore& score : scores) {
      score.normalized = score.score / (static_cast<double>(request.keys.size()) * tiers.highest());
    }
    std::sort(scores.begin(), scores.end(), [](const PodScore& a, const PodScore& b) {
      return a.score != b.score ? a.score > b.score : a.pod < b.pod;
    });
    return scores;
  }

  std::map<PodId, std::set<PodId>> served;  // by node: whom its copies count for, too

 private:
  enum class State : uint8_t { kFree, kLive, kEnded };
  struct Record {
    HolderInfo info;
    State state = State::kFree;
  };

  static bool Same(const HolderInfo& a, const HolderInfo& b) {
    return a.pod == b.pod && a.tier == b.tier && a.group == b.group &&
           a.speculative == b.speculative;
  }
  bool Live(HolderId holder) const {
    return holder < holders_.size() && holders_[holder].state == State::kLive;
  }

  // The last Add's keys stand last.
  void Link(EngineKey engine, RequestKey key) {
    if (engine == 0 || key == 0) return;
    auto& keys = links_[engine];
    std::erase(keys, key);
    keys.push_back(key);
    engines_[key].insert(engine);
  }

  // Nobody holds it. An engine key goes with the last of its blocks.
  void Free(RequestKey key) {
    blocks_.erase(key);
    for (const EngineKey engine : std::set<EngineKey>(engines_[key])) {
      const std::vector<RequestKey> keys = links_.at(engine);
      const auto held = [&](RequestKey k) { return blocks_.count(k) > 0; };
      if (std::any_of(keys.begin(), keys.end(), held)) continue;
      for (const RequestKey k : keys) engines_[k].erase(engine);
      links_.erase(engine);
    }
  }

  // The best weight of a pod's copies of a block in one group (any: -2), or -1.
  double Best(PodId pod, RequestKey key, int group, const TierTable& tiers) const {
    double best = -1;
    for (const HolderId id : Holders(key)) {
      const HolderInfo& info = holders_[id].info;
      const auto list = served.find(info.pod);
      if (info.pod != pod && (list == served.end() || list->second.count(pod) == 0)) continue;
      if (group == -2 || info.group == -1 || info.group == group)
        best = std::max(best, tiers.weight(info.tier));
    }
    return best;
  }

  PodScore ScorePlain(PodId pod, const ScoreRequest& request, const TierTable& tiers) const {
    PodScore score{pod, 0, 0, 0};
    for (const RequestKey key : request.keys) {
      const double weight = Best(pod, key, -2, tiers);
      if (weight < 0) break;
      score.score += weight;
      ++score.blocks;
    }
    return score;
  }

  static uint32_t Needed(const GroupSpec& spec, uint32_t length, uint32_t key_tokens) {
    if (spec.rule == GroupRule::kFull) return length;
    if (spec.rule == GroupRule::kState) return std::min(length, 1u);
    const uint64_t before = spec.window_tokens == 0 ? 0 : spec.window_tokens - 1;
    return static_cast<uint32_t>(
        std::min<uint64_t>(length, (before + key_tokens - 1) / key_tokens));
  }

  PodScore ScoreGroups(PodId pod, const ScoreRequest& request, const TierTable& tiers,
                       const std::vector<GroupSpec>& specs) const {
    for (auto length = static_cast<uint32_t>(request.keys.size()); length > 0; --length) {
      double sum = 0;
      double lowest = HUGE_VAL;
      std::vector<double> full(length, HUGE_VAL);
      bool whole = true;
      bool any_full = false;
      for (const GroupSpec& spec : specs) {
        any_full = any_full || spec.rule == GroupRule::kFull;
        for (uint32_t i = length - Needed(spec, length, request.key_tokens); i < length; ++i) {
          const double weight = Best(pod, request.keys[i], spec.group, tiers);
          whole = whole && weight >= 0;
          lowest = std::min(lowest, weight);
          if (spec.rule == GroupRule::kFull) full[i] = std::min(full[i], weight);
        }
      }
      if (!whole || (!any_full && !std::isfinite(lowest))) continue;
      for (const double weight : full) sum += any_full ? weight : lowest;
      return {pod, sum, 0, length};
    }
    return {pod, 0, 0, 0};
  }

  std::vector<Record> holders_;
  std::map<RequestKey, std::map<HolderId, uint32_t>> blocks_;
  std::map<EngineKey, std::vector<RequestKey>> links_;
  std::map<RequestKey, std::set<EngineKey>> engines_;  // the other way
};

}  // namespace headrace::indexer
