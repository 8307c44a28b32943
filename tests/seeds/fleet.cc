#include "tests/seeds/fleet.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "tests/seeds/fleet_replica.h"

namespace headrace::seeds {
namespace {

using indexer::kChains;
using indexer::kLength;
using indexer::Publisher;
using indexer::ShardMap;

constexpr double kGpu = 1.0, kCpu = 0.8;
constexpr size_t kNodeEvery = 10;

ShardMap MakeMap(size_t replicas) {
  ShardMap::Options options{.replicas = {}, .first_blocks = 2};
  for (size_t i = 0; i < replicas; ++i) {
    options.replicas.push_back("index-" + std::to_string(i) + ":9091");
  }
  return *ShardMap::Create(std::move(options));
}

class Fleet {
 public:
  explicit Fleet(const FleetOptions& options)
      : random_(options.seed), map_(MakeMap(options.replicas)) {
    for (size_t i = 0; i < options.publishers; ++i) {
      const bool is_node = i % kNodeEvery == kNodeEvery - 1;
      publishers_.push_back(std::make_unique<Publisher>(
          random_.Next(), (is_node ? "node-" : "pod-") + std::to_string(i), is_node,
          /*ring=*/random_.Between(3, 30)));
    }
    for (size_t r = 0; r < map_.size(); ++r) Build(r);
  }

  // Everything goes wrong that can.
  void RunBadly(int steps) {
    for (int step = 0; step < steps; ++step) {
      for (size_t i = 0; i < publishers_.size(); ++i) Disturb(i);
      Step(&faults_);
    }
  }
  // Nothing goes wrong any more, until nobody has more to say.
  void Quiet() {
    SendAll(publishers_[0]->PublishAll(), 0, nullptr);  // teaches every hash that a node may hold
    for (int step = 0; step < 3000; ++step) {
      Step(nullptr);
      if (step > 60 && AllQuiet()) return;
    }
    HR_CHECK(!"somebody is never quiet");
  }

  // All that it knew is gone. It learns again from the publishers, while the others answer as if
  // nothing had happened, and never tells of more than there is meanwhile.
  void KillAndRebuild(size_t replica) {
    ++killed_;
    Build(replica);
    HR_CHECK(!replicas_[replica]->quiet());
    bool less = false;
    for (int step = 0; step < 3000; ++step) {
      if (step % 8 == 0) less = CheckWhile(replica) || less;
      if (replicas_[replica]->quiet()) break;
      Step(nullptr);
    }
    HR_CHECK(replicas_[replica]->quiet() && less);
  }
  // In the middle of everything.
  void Kill(size_t replica) {
    ++killed_;
    Build(replica);
  }

  // Every replica answers its prompts, and all of them the stems, as the publishers' truths say;
  // and none keeps what is for another one.
  void Check() {
    std::vector<size_t> owned(map_.size());
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      const auto keys = replicas_[0]->KeysOf(chain, kLength);
      const size_t owner = map_.OwnerOf(keys);
      ++owned[owner];
      CheckPrompt(owner, chain, kLength);
      CheckPrompt(owner, chain, static_cast<uint32_t>(random_.Between(2, kLength - 1)));
      for (size_t r = 0; r < map_.size(); ++r) {
        CheckPrompt(r, chain, 1);
        for (size_t i = 1; i < keys.size() && r != owner; ++i) {
          HR_CHECK(replicas_[r]->Holders(keys[i]) == 0);
        }
      }
    }
    HR_CHECK(std::count(owned.begin(), owned.end(), size_t{0}) == 0);
  }

  FleetReport Report() const {
    indexer::FollowCounters sum = gone_;
    uint64_t foreign = 0;
    for (const auto& replica : replicas_) {
      sum.Add(replica->counters());
      foreign += replica->foreign_blocks();
    }
    return {{"events published", events_},
            {"messages applied", sum.applied},
            {"blocks left to other replicas", foreign},
            {"prompts scored as the truth", scored_},
            {"of these, while a replica was rebuilt", answered_},
            {"replicas killed", killed_},
            {"messages dropped", faults_.dropped},
            {"messages doubled", faults_.doubled},
            {"messages out of order", faults_.late},
            {"publishers restarted", faults_.restarts},
            {"clears", faults_.clears},
            {"reconnects", faults_.flaps},
            {"lists of pods", faults_.lists},
            {"replays with holes", faults_.replay_holes},
            {"replays beyond the ring", faults_.ring_misses},
            {"snapshots cut off", faults_.snapshot_cuts},
            {"gaps seen", sum.gaps},
            {"restarts seen", sum.restarts},
            {"replays asked", sum.replays},
            {"snapshots asked", sum.snapshots}};
  }

 private:
  void Build(size_t replica) {
    if (replica < replicas_.size()) {
      gone_.Add(replicas_[replica]->counters());
      replicas_[replica] = std::make_unique<FleetReplica>(&map_, replica, publishers_, now_);
    } else {
      replicas_.push_back(std::make_unique<FleetReplica>(&map_, replica, publishers_, now_));
    }
  }
  void SendAll(const Publisher::Sent& sent, size_t publisher, indexer::Faults* faults) {
    events_ += sent.events;
    for (const auto& replica : replicas_) replica->link(publisher).Send(sent, &random_, faults);
  }
  void Disturb(size_t i) {
    Publisher& publisher = *publishers_[i];
    if (random_.Chance(1, 3)) SendAll(publisher.Publish(&faults_), i, &faults_);
    if (publisher.is_node() && random_.Chance(1, 40)) {
      ++faults_.lists;
      SendAll(publisher.PublishPods(SomePods(i)), i, &faults_);
    }
    if (random_.Chance(1, 2000)) {
      ++faults_.restarts;
      publisher.Restart();
      for (const auto& replica : replicas_) {
        replica->link(i).Break();
        if (random_.Chance(1, 2)) replica->link(i).Connect(now_);  // else it is not seen at once
      }
    }
    if (random_.Chance(1, 1000)) {
      ++faults_.flaps;
      auto& link = replicas_[random_.Below(replicas_.size())]->link(i);
      link.Break();
      link.Connect(now_);
    }
  }
  std::vector<std::string> SomePods(size_t node) {
    std::vector<std::string> pods;
    for (size_t i = node + 1 - kNodeEvery; i < node; ++i) {
      if (random_.Chance(2, 3)) pods.push_back(publishers_[i]->name());
    }
    // One of another node's, so that some pods have two.
    if (random_.Chance(1, 2)) pods.push_back(publishers_[0]->name());
    return pods;
  }
  void Step(indexer::Faults* faults) {
    for (const auto& replica : replicas_) replica->Step(now_, &random_, faults);
    now_ += indexer::kStep;
  }
  bool AllQuiet() const {
    return std::all_of(replicas_.begin(), replicas_.end(),
                       [](const auto& replica) { return replica->quiet(); });
  }

  FleetReplica::Scores Truth(uint32_t chain, uint32_t blocks) const {
    std::map<std::string, std::vector<double>> weights;
    for (const auto& publisher : publishers_) {
      const bool is_node = publisher->is_node();
      std::vector<double> own(blocks);
      for (uint32_t b = 0; b < blocks; ++b) {
        if (publisher->copies(chain, b) > 0) own[b] = is_node ? kCpu : kGpu;
      }
      const auto count_for = [&](const std::string& name) {
        auto& best = weights[name];
        best.resize(blocks);
        for (uint32_t b = 0; b < blocks; ++b) best[b] = std::max(best[b], own[b]);
      };
      count_for(publisher->name());
      for (const std::string& name : publisher->serves()) count_for(name);
    }
    FleetReplica::Scores scores;
    for (const auto& [name, best] : weights) {
      double sum = 0;
      for (uint32_t b = 0; b < blocks && best[b] > 0; ++b) sum += best[b];
      if (sum > 0) scores[name] = sum;
    }
    return scores;
  }
  void CheckPrompt(size_t replica, uint32_t chain, uint32_t blocks) {
    const auto scores = replicas_[replica]->Score(replicas_[replica]->KeysOf(chain, blocks));
    const auto truth = Truth(chain, blocks);
    HR_CHECK(scores.size() == truth.size());
    for (const auto& [name, score] : truth) {
      HR_CHECK(std::abs(scores.at(name) - score) < 1e-9);
    }
    ++scored_;
  }
  // Whether the one that is rebuilt knew less than there is.
  bool CheckWhile(size_t rebuilt) {
    bool less = false;
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      const auto keys = replicas_[rebuilt]->KeysOf(chain, kLength);
      const size_t owner = map_.OwnerOf(keys);
      if (owner != rebuilt) {
        CheckPrompt(owner, chain, kLength);
        ++answered_;
        continue;
      }
      const auto truth = Truth(chain, kLength);
      const auto scores = replicas_[rebuilt]->Score(keys);
      less = less || scores.size() < truth.size();
      for (const auto& [name, score] : scores) HR_CHECK(score <= truth.at(name) + 1e-9);
    }
    return less;
  }

  Random random_;
  const ShardMap map_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<FleetReplica>> replicas_;
  Time now_ = Time(seconds(1000));
  indexer::Faults faults_;
  indexer::FollowCounters gone_;  // of replicas that died
  uint64_t events_ = 0, scored_ = 0, answered_ = 0, killed_ = 0;
};

}  // namespace

FleetReport RunFleet(const FleetOptions& options) {
  Fleet fleet(options);
  fleet.RunBadly(60);
  fleet.Quiet();
  fleet.Check();
  fleet.KillAndRebuild(options.seed % options.replicas);
  fleet.Check();
  fleet.RunBadly(20);
  fleet.Kill((options.seed + 1) % options.replicas);
  fleet.RunBadly(20);
  fleet.Quiet();
  fleet.Check();
  return fleet.Report();
}

}  // namespace headrace::seeds
