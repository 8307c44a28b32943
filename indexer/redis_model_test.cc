// Random histories against a model of what an index says: adds, removals by both kinds of keys,
// clears and removed pods, with connections that break, scripts that are lost and other servers
// that ask. One server and a Cluster.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "indexer/redis_rig.h"

namespace headrace::indexer {
namespace {

using Keys = std::vector<uint64_t>;

constexpr uint64_t kUnnamed = 100;  // blocks from here on have no engine keys

// Copies a holder has, and what engine keys name.
struct Model {
  std::map<RequestKey, std::map<std::string, int>> blocks;  // by shown holder
  std::map<EngineKey, Keys> names;

  void Put(RequestKey key, const std::string& holder) { ++blocks[key][holder]; }
  void Take(RequestKey key, const std::string& holder) {
    auto block = blocks.find(key);
    if (block == blocks.end()) return;
    auto found = block->second.find(holder);
    if (found == block->second.end()) return;
    if (--found->second == 0) block->second.erase(found);
    if (block->second.empty()) blocks.erase(block);
  }
  void Clear(const std::string& pod) {
    for (auto& [key, holders] : blocks) {
      std::erase_if(holders, [&](const auto& entry) { return entry.first.starts_with(pod); });
    }
    std::erase_if(blocks, [](const auto& entry) { return entry.second.empty(); });
  }
  std::set<std::string> Holders(RequestKey key) const {
    std::set<std::string> found;
    auto block = blocks.find(key);
    if (block == blocks.end()) return found;
    for (const auto& [holder, count] : block->second) found.insert(holder);
    return found;
  }
  std::map<std::string, double> Score(const Keys& keys) const {
    TierTable tiers;
    std::map<std::string, double> scores, active;
    for (size_t i = 0; i < keys.size(); ++i) {
      std::map<std::string, double> best;
      for (const std::string& holder : Holders(keys[i])) {
        const size_t slash = holder.find('/');
        double& weight = best[holder.substr(0, slash)];
        weight = std::max(weight, tiers.weight(tiers.Intern(holder.substr(slash + 1))));
      }
      if (i == 0) active = best;
      std::erase_if(active, [&](const auto& entry) { return !best.contains(entry.first); });
      for (auto& [pod, weight] : active) scores[pod] += best[pod];
    }
    return scores;
  }
};

class History {
 public:
  History(uint64_t seed, const RedisIndexOptions& options) : random_(seed), rig_(options) {}

  IndexRig& rig() { return rig_; }
  void Step() {
    const std::string pod = Pod(random_.Below(4));
    const std::string tier = random_.Chance(1, 3) ? "cpu" : "gpu";
    const RemoteHolder holder{pod, tier, -1, false};
    const std::string shown = fmt::format("{}/{}", pod, tier);
    const uint64_t first = random_.Below(60);
    const uint64_t count = 1 + random_.Below(12);
    const uint64_t draw = random_.Below(20);
    if (draw < 2) {
      const bool remove = random_.Chance(1, 4);
      remove ? rig_->RemovePod(pod) : rig_->Clear(pod);
      model_.Clear(pod);
    } else if (draw < 5) {
      RemoveKeys(holder, shown, first, count);
    } else if (draw < 9) {
      Remove(holder, shown, first, count);
    } else if (draw < 10) {
      AddKnown(holder, shown, first, count);
    } else {
      Add(holder, shown, first, count);
    }
  }
  // Everything written, and equal.
  void Compare() {
    for (uint64_t pod = 0; pod < 4; ++pod) ASSERT_TRUE(rig_.Flush(Pod(pod)));
    for (uint64_t i = 0; i < kUnnamed + 72; ++i) {
      ASSERT_EQ(rig_.Holders(Request(i)), model_.Holders(Request(i))) << i;
    }
    for (int round = 0; round < 5; ++round) {
      Keys keys;
      const uint64_t first = random_.Below(60);
      for (uint64_t i = first; i < first + 12; ++i) keys.push_back(Request(i));
      const auto got = rig_.Score(keys);
      const auto want = model_.Score(keys);
      ASSERT_EQ(got.size(), want.size());
      for (const auto& [pod, score] : want) ASSERT_NEAR(got.at(pod), score, 1e-9) << pod;
    }
  }

 private:
  static std::string Pod(uint64_t i) { return fmt::format("p{}", i); }
  static RequestKey Request(uint64_t i) { return MixBits(i + 1); }
  static EngineKey Engine(uint64_t i) { return MixBits(i + 1001); }
  static Keys Range(RequestKey (*key)(uint64_t), uint64_t first, uint64_t count) {
    Keys keys;
    for (uint64_t i = first; i < first + count; ++i) keys.push_back(key(i));
    return keys;
  }
  void Add(const RemoteHolder& holder, const std::string& shown, uint64_t first, uint64_t count) {
    // Blocks are always named or never: whether a name was forgotten while nobody held its block
    // is up to the sweep.
    const bool named = !random_.Chance(1, 5);
    if (!named) first += kUnnamed;
    rig_->Add(holder, named ? Range(Engine, first, count) : Keys(), Range(Request, first, count));
    for (uint64_t i = first; i < first + count; ++i) {
      model_.Put(Request(i), shown);
      if (named) model_.names[Engine(i)] = {Request(i)};
    }
  }
  void Remove(const RemoteHolder& holder, const std::string& shown, uint64_t first,
              uint64_t count) {
    rig_->Remove(holder, Range(Engine, first, count));
    // An engine key whose blocks nobody holds may be forgotten, which changes nothing here.
    for (uint64_t i = first; i < first + count; ++i) {
      for (RequestKey key : model_.names[Engine(i)]) model_.Take(key, shown);
    }
  }
  void RemoveKeys(const RemoteHolder& holder, const std::string& shown, uint64_t first,
                  uint64_t count) {
    if (random_.Chance(1, 3)) first += kUnnamed;
    rig_->RemoveKeys(holder, Range(Request, first, count));
    for (uint64_t i = first; i < first + count; ++i) model_.Take(Request(i), shown);
  }
  // Only where the name cannot have been forgotten: somebody holds the block.
  void AddKnown(const RemoteHolder& holder, const std::string& shown, uint64_t first,
                uint64_t count) {
    Keys engine;
    for (uint64_t i = first; i < first + count; ++i) {
      if (model_.names.contains(Engine(i)) && !KeptBy(i).empty()) engine.push_back(Engine(i));
    }
    if (engine.empty()) return;
    // Others may write meanwhile: their order to this is not said.
    for (uint64_t pod = 0; pod < 4; ++pod) HR_CHECK(rig_.Flush(Pod(pod)));
    Keys known;
    for (EngineKey key : engine) {
      const Keys names = rig_.Resolve(key);
      if (names.empty()) continue;
      known.push_back(key);
      for (RequestKey name : names) model_.Put(name, shown);
    }
    rig_->AddKnown(holder, known);
  }
  std::set<std::string> KeptBy(uint64_t i) const { return model_.Holders(Request(i)); }

  Random random_;
  IndexRig rig_;
  Model model_;
};

void SweepOften(RedisIndexOptions* options) {
  options->sweep.every = milliseconds(3);
  options->sweep.page_keys = 16;
  options->sweep.grace = milliseconds(200);
}

TEST(RedisModel, OneServerEqualsTheModel) {
  HR_NEEDS_REDIS();
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    net::TestRedis redis;
    RedisIndexOptions options = IndexOptions(redis.url());
    if (seed % 2 == 0) SweepOften(&options);
    History history(seed, options);
    ASSERT_TRUE(history.rig().Up());
    for (int round = 0; round < 20; ++round) {
      for (int i = 0; i < 25; ++i) history.Step();
      if (round % 4 == 1) redis.Ask({"SCRIPT", "FLUSH"});
      if (round % 4 == 3) redis.Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
      ASSERT_NO_FATAL_FAILURE(history.Compare()) << "seed " << seed << " round " << round;
    }
    EXPECT_EQ(history.rig().lost().size(), 0u);
  }
}

TEST(RedisModel, AClusterEqualsTheModelWhileASlotMoves) {
  HR_NEEDS_REDIS();
  net::TestCluster cluster;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    RedisIndexOptions options = IndexOptions(cluster.url());
    options.prefix = fmt::format("s{}:", seed);
    if (seed == 2) SweepOften(&options);
    History history(seed, options);
    ASSERT_TRUE(history.rig().Up());
    // The slot of a block that every history touches.
    const uint16_t slot = net::RedisSlot(NativeNames(options.prefix).Request(MixBits(31)));
    for (int round = 0; round < 8; ++round) {
      const size_t to = (cluster.OwnerOf(slot) + 1) % 3;
      cluster.BeginMove(slot, to);
      for (int i = 0; i < 20; ++i) history.Step();
      ASSERT_NO_FATAL_FAILURE(history.Compare()) << "seed " << seed << " round " << round;
      cluster.MoveKeys(slot, to);
      for (int i = 0; i < 20; ++i) history.Step();
      ASSERT_NO_FATAL_FAILURE(history.Compare()) << "seed " << seed << " round " << round;
      cluster.EndMove(slot, to);
      for (int i = 0; i < 20; ++i) history.Step();
      ASSERT_NO_FATAL_FAILURE(history.Compare()) << "seed " << seed << " round " << round;
    }
    EXPECT_GT(history.rig()->stats().moved, 0u);
    EXPECT_GT(history.rig()->stats().asked, 0u);
    EXPECT_EQ(history.rig().lost().size(), 0u);
  }
}

}  // namespace
}  // namespace headrace::indexer
