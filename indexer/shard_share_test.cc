#include "indexer/shard_share.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "indexer/ingest_world.h"

namespace headrace::indexer {
namespace {

constexpr size_t kReplicas = 3;

ShardMap MakeMap(uint32_t first_blocks) {
  return *ShardMap::Create({.replicas = {"a", "b", "c"}, .first_blocks = first_blocks});
}

TEST(ShardShare, KeepsStemsAndItsOwnChains) {
  const ShardMap map = MakeMap(3);
  for (uint64_t third = 100; third < 140; ++third) {
    const std::vector<RequestKey> keys = {1, 2, third, 4, 5};
    const size_t owner = map.OwnerOf(keys);
    for (size_t self = 0; self < kReplicas; ++self) {
      ShardShare share(&map, self, {});
      const size_t kept = self == owner ? 5 : 2;
      EXPECT_EQ(share.Keep(nullptr, keys), kept);
      EXPECT_EQ(share.foreign_blocks(), 5 - kept);
      // The same from the middle of the stem on, and block by block.
      EXPECT_EQ(share.Keep(&keys[0], std::span(keys).subspan(1)), kept - 1);
      EXPECT_EQ(share.Keep(&keys[1], std::span(keys).subspan(2, 1)), kept == 5 ? 1u : 0u);
      if (self != owner) continue;
      EXPECT_EQ(share.Keep(&keys[2], std::span(keys).subspan(3)), 2u);
    }
  }
}

TEST(ShardShare, KeepsMoreRatherThanLessWhenItForgotAStem) {
  const ShardMap map = MakeMap(2);
  for (size_t self = 0; self < kReplicas; ++self) {
    ShardShare share(&map, self, {.stems = 1, .foreign = 1});
    const std::vector<RequestKey> first = {1}, second = {2}, behind = {77};
    EXPECT_EQ(share.Keep(nullptr, first), 1u);
    EXPECT_EQ(share.Keep(nullptr, second), 1u);
    EXPECT_EQ(share.Keep(first.data(), behind), 1u);
  }
}

TEST(ShardShare, RemembersTheLastForeignKeys) {
  const ShardMap map = MakeMap(2);
  ShardShare share(&map, 0, {.stems = 1, .foreign = 2});
  EXPECT_FALSE(share.IsForeign(4));
  share.AddForeign(4);
  share.AddForeign(5);
  EXPECT_TRUE(share.IsForeign(4));
  share.AddForeign(6);
  EXPECT_FALSE(share.IsForeign(4));
  EXPECT_TRUE(share.IsForeign(5));
}

// The same events to three replicas and to an index that keeps everything.
class Replicas {
 public:
  Replicas(uint64_t seed, uint32_t first_blocks, uint32_t engine_tokens)
      : random_(seed), engine_tokens_(engine_tokens), map_(MakeMap(first_blocks)) {
    for (size_t self = 0; self < kReplicas; ++self) {
      shares_.push_back(std::make_unique<ShardShare>(&map_, self, ShardShare::Limits{}));
      worlds_.push_back(std::make_unique<IngestWorld>(DigestLimits{}, 4, shares_.back().get()));
    }
    worlds_.push_back(std::make_unique<IngestWorld>());
  }

  void Step() {
    const uint64_t what = random_.Below(10);
    const std::string pod = random_.Chance(1, 2) ? "a" : "b";
    const auto chain = static_cast<uint32_t>(random_.Below(kChains));
    const uint32_t most = kTokens / engine_tokens_;
    const auto first = static_cast<uint32_t>(random_.Below(most));
    const auto count = static_cast<uint32_t>(random_.Between(1, std::min(4u, most - first)));
    if (what < 6) {
      Tell(pod, wire::EventType::kStored, Store(chain, first, count));
    } else if (what < 8) {
      Say node = {.hashes = Hashes(chain, first, count), .medium = "cpu"};
      Tell("node", wire::EventType::kStored, node);
    } else {
      Say removed = {.hashes = Hashes(chain, first, count), .medium = what == 8 ? "cpu" : ""};
      Tell(what == 8 ? "node" : pod, wire::EventType::kRemoved, removed);
    }
  }
  // Every block of every chain was told of by somebody, so that nothing waits any more.
  void TeachAll() {
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      Tell("teacher", wire::EventType::kStored, Store(chain, 0, kTokens / engine_tokens_));
    }
  }

  void Compare() {
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      const std::vector<uint32_t> prompt = TokensOf(chain, 0, kTokens);
      std::vector<RequestKey> keys;
      ASSERT_TRUE(whole().keys->PromptKeys("m", {}, prompt, &keys));
      const size_t owner = map_.OwnerOf(keys);
      owners_.insert(owner);
      EXPECT_EQ(worlds_[owner]->Scores(prompt), whole().Scores(prompt));
      for (size_t i = 0; i < keys.size(); ++i) {
        for (size_t self = 0; self < kReplicas; ++self) {
          const size_t holders = worlds_[self]->index.Holders(keys[i]).size();
          const bool kept = self == owner || map_.InStem(i);
          EXPECT_EQ(holders, kept ? whole().index.Holders(keys[i]).size() : 0) << self << " " << i;
        }
      }
    }
    for (const auto& world : worlds_) EXPECT_EQ(world->digest.pending(), 0u);
  }
  size_t owners() const { return owners_.size(); }

 private:
  static constexpr uint32_t kChains = 18;
  static constexpr uint32_t kTokens = 48;

  IngestWorld& whole() { return *worlds_.back(); }
  // Chains of a group begin alike, and differ from the third, fourth or fifth key on.
  static uint32_t NamedBy(uint32_t chain, uint32_t token) {
    return token < 8 + chain % 3 * 4 ? chain / 6 : 100 + chain;
  }
  static std::vector<uint32_t> TokensOf(uint32_t chain, uint32_t first, uint32_t count) {
    std::vector<uint32_t> tokens;
    for (uint32_t t = first; t < first + count; ++t) {
      tokens.push_back(NamedBy(chain, t) * 1000 + t);
    }
    return tokens;
  }
  // As an engine's: equal where all up to the block's end is.
  std::vector<uint64_t> Hashes(uint32_t chain, uint32_t first, uint32_t count) const {
    std::vector<uint64_t> hashes;
    for (uint32_t block = first; block < first + count; ++block) {
      const uint32_t last = (block + 1) * engine_tokens_ - 1;
      hashes.push_back(MixBits((uint64_t{NamedBy(chain, last)} << 32 | block) + 1));
    }
    return hashes;
  }
  Say Store(uint32_t chain, uint32_t first, uint32_t count) const {
    Say say{.hashes = Hashes(chain, first, count),
            .tokens = TokensOf(chain, first * engine_tokens_, count * engine_tokens_),
            .block = engine_tokens_};
    if (first > 0) say.parent = Hashes(chain, first - 1, 1).front();
    return say;
  }
  void Tell(const std::string& pod, wire::EventType type, const Say& say) {
    for (auto& world : worlds_) ASSERT_TRUE(world->Tell(pod, type, say));
  }

  Random random_;
  const uint32_t engine_tokens_;
  const ShardMap map_;
  std::vector<std::unique_ptr<ShardShare>> shares_;
  std::vector<std::unique_ptr<IngestWorld>> worlds_;
  std::set<size_t> owners_;
};

TEST(ShardShare, AllReplicasTogetherKnowWhatOneWouldKnow) {
  for (const uint32_t engine_tokens : {4u, 8u, 2u}) {
    for (const uint32_t first_blocks : {1u, 2u, 4u}) {
      size_t owners = 0;
      for (uint64_t seed = 1; seed <= 2; ++seed) {
        SCOPED_TRACE(testing::Message() << engine_tokens << " " << first_blocks << " " << seed);
        Replicas replicas(seed, first_blocks, engine_tokens);
        for (int step = 0; step < 200; ++step) replicas.Step();
        replicas.TeachAll();
        replicas.Compare();
        owners = std::max(owners, replicas.owners());
        for (int step = 0; step < 200; ++step) replicas.Step();
        replicas.TeachAll();
        replicas.Compare();
      }
      EXPECT_GT(owners, 1u);
    }
  }
}

}  // namespace
}  // namespace headrace::indexer
