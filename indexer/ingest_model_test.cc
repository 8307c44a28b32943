// Publishers with truths of their own, streams that lose, double and disorder, replays and
// snapshots that fail; after quiet the index must equal the truths.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <set>

#include "indexer/ingest_rig.h"
#include "indexer/memory_index.h"
#include "indexer/model_index.h"

namespace headrace::indexer {
namespace {

class Fleet {
 public:
  Fleet(Index* index, uint64_t seed) : index_(index), random_(seed), pods_(index) {
    keys_ = std::move(*IngestKeys::Create(
        {.algo = wire::HashAlgo::kXxh64, .seed = "", .block_tokens = kBlockTokens}));
    digest_ = std::make_unique<Digest>(Digest::Parts{index_, &pods_, keys_.get(), &tiers_, nullptr},
                                       DigestLimits{});
    for (int i = 0; i < 8; ++i) {
      const bool is_node = i >= 6;
      // Two can only replay, but all of it.
      const bool snapshot = i != 1 && i != 2;
      publishers_.push_back(std::make_unique<Publisher>(
          random_.Next(), (is_node ? "node" : "pod") + std::to_string(i), is_node,
          snapshot ? random_.Between(5, 60) : 1000000));
      links_.push_back(
          std::make_unique<Link>(publishers_.back().get(), digest_.get(), &pods_, snapshot));
      links_.back()->Connect(now_);
    }
  }

  void Run(uint64_t events) {
    for (uint64_t step = 0; told_ < events; ++step) {
      for (size_t i = 0; i < links_.size(); ++i) {
        for (size_t n = random_.Between(0, 8); n > 0; --n)
          Tell(i, publishers_[i]->Publish(&faults));
        if (publishers_[i]->is_node() && random_.Chance(1, 50)) TellPods(i);
        if (random_.Chance(1, 3000)) {
          ++faults.restarts;
          publishers_[i]->Restart();
          links_[i]->Break();
          if (random_.Chance(1, 2)) links_[i]->Connect(now_);  // else nobody sees it at once
        }
        if (random_.Chance(1, 1000)) {
          ++faults.flaps;
          links_[i]->Break();
          links_[i]->Connect(now_);
        }
        links_[i]->Step(now_, &random_, &faults);
      }
      now_ += kStep;
      digest_->Tick(now_);
      index_->Sweep(64);
    }
  }
  // No faults, and until nobody has anything more to say.
  void Quiet() {
    for (int step = 0; step < 5000; ++step) {
      bool quiet = true;
      for (auto& link : links_) {
        link->Step(now_, &random_, nullptr);
        quiet = quiet && link->quiet();
      }
      now_ += kStep;
      index_->Sweep(64);
      if (quiet && step > 200) return;
    }
    FAIL() << "somebody is never quiet";
  }
  void TellAll(size_t publisher) {
    links_[publisher]->Send(publishers_[publisher]->PublishAll(), &random_, nullptr);
  }
  bool TellLess() {
    bool any = false;
    for (size_t i = 0; i < links_.size(); ++i) {
      if (publishers_[i]->empty()) continue;
      any = true;
      links_[i]->Send(publishers_[i]->PublishLess(), &random_, nullptr);
    }
    return any;
  }

  uint64_t Differences() {
    uint64_t differences = 0;
    for (uint32_t c = 0; c < kChains; ++c) {
      std::vector<RequestKey> keys;
      EXPECT_TRUE(keys_->PromptKeys("m", {}, TokensOf(c, 0, kLength), &keys));
      for (uint32_t b = 0; b < kLength; ++b) {
        const auto holders = index_->Holders(keys[b]);
        for (auto& link : links_) {
          HolderInfo info;
          info.tier = tiers_.Intern(link->publisher().medium());
          const HolderId holder = pods_.FindHolder(link->feed().pod, info);
          const bool holds = std::count(holders.begin(), holders.end(), holder) > 0;
          if (holds != (link->publisher().copies(c, b) > 0)) ++differences;
        }
      }
    }
    for (auto& link : links_) {
      std::set<std::string> told(link->publisher().serves().begin(),
                                 link->publisher().serves().end());
      told.erase(link->publisher().name());
      std::set<std::string> known;
      for (const PodId pod : pods_.Served(link->feed().pod)) known.insert(pods_.name(pod));
      if (known != told) ++differences;
    }
    return differences;
  }

  uint64_t told() const { return told_; }
  size_t links() const { return links_.size(); }
  const StreamFollower& follower(size_t i) const { return links_[i]->follower(); }
  Digest& digest() { return *digest_; }
  PodTable& pods() { return pods_; }
  Faults faults;

 private:
  void TellPods(size_t node) {
    std::vector<std::string> pods;
    for (size_t i = 0; i < publishers_.size(); ++i) {
      if (random_.Chance(1, 3)) pods.push_back(publishers_[i]->name());
    }
    if (random_.Chance(1, 3)) pods.push_back("silent");  // never tells of itself
    ++faults.lists;
    Tell(node, publishers_[node]->PublishPods(std::move(pods)));
  }
  void Tell(size_t link, const Publisher::Sent& sent) {
    told_ += sent.events;
    links_[link]->Send(sent, &random_, &faults);
  }

  Index* const index_;
  Random random_;
  PodTable pods_;
  TierTable tiers_;
  std::unique_ptr<IngestKeys> keys_;
  std::unique_ptr<Digest> digest_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<Link>> links_;
  uint64_t told_ = 0;
  Time now_ = Time(seconds(1000));
};

void ExpectTruth(Fleet* told) {
  Fleet& fleet = *told;
  fleet.TellAll(0);  // teaches every hash that a node may hold
  fleet.Quiet();
  EXPECT_EQ(fleet.Differences(), 0u);
  EXPECT_EQ(fleet.digest().pending(), 0u);
  EXPECT_EQ(fleet.digest().at_odds(), 0u);
  // Copies were counted as the publishers count them, too.
  int rounds = 0;
  for (; fleet.TellLess(); ++rounds) {
    fleet.Quiet();
    ASSERT_EQ(fleet.Differences(), 0u) << rounds;
  }
  EXPECT_GT(rounds, 2);
}

// Each kind of fault was there, and did what it does.
void ExpectAllReached(Fleet* told) {
  Fleet& fleet = *told;
  FollowCounters sum;
  for (size_t i = 0; i < fleet.links(); ++i) sum.Add(fleet.follower(i).counters());
  uint64_t waited = 0;
  fleet.pods().ForEach([&](PodId pod) { waited += fleet.pods().counters(pod).waited; });
  const std::pair<const char*, uint64_t> reached[] = {
      {"events", fleet.told()},
      {"dropped", fleet.faults.dropped},
      {"doubled", fleet.faults.doubled},
      {"out of order", fleet.faults.late},
      {"restarts", fleet.faults.restarts},
      {"clears", fleet.faults.clears},
      {"reconnects", fleet.faults.flaps},
      {"lists of pods", fleet.faults.lists},
      {"replays with holes", fleet.faults.replay_holes},
      {"replays cut off", fleet.faults.replay_cuts},
      {"replays unanswered", fleet.faults.silences},
      {"replays beyond the ring", fleet.faults.ring_misses},
      {"snapshots cut off", fleet.faults.snapshot_cuts},
      {"duplicates seen", sum.duplicates},
      {"gaps seen", sum.gaps},
      {"restarts seen", sum.restarts},
      {"replays asked", sum.replays},
      {"replays failed", sum.replay_failures},
      {"probes", sum.probes},
      {"snapshots asked", sum.snapshots},
      {"snapshots failed", sum.snapshot_failures},
      {"held and dropped", sum.held_dropped},
      {"waited for a parent", waited}};
  for (const auto& [name, count] : reached) {
    std::printf("%10llu %s\n", static_cast<unsigned long long>(count), name);
    EXPECT_GT(count, 0u) << name;
  }
}

TEST(IngestModel, EqualsItsPublishersAfterAMillionEvents) {
  auto index = MemoryIndex::Create({});
  ASSERT_TRUE(index);
  Fleet fleet(index->get(), 1);
  fleet.Run(1000000);
  EXPECT_GE(fleet.told(), 1000000u);
  ExpectTruth(&fleet);
  ExpectAllReached(&fleet);
}

TEST(IngestModel, EqualsItsPublishersWithThePlainIndex) {
  for (const uint64_t seed : {2, 3, 4}) {
    ModelIndex index;
    Fleet fleet(&index, seed);
    fleet.Run(60000);
    ExpectTruth(&fleet);
  }
}

}  // namespace
}  // namespace headrace::indexer
