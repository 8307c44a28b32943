// Random histories: the memory index and the scorer against the model.
#include <gtest/gtest.h>

#include <optional>

#include "base/random.h"
#include "indexer/memory_index.h"
#include "indexer/model_index.h"
#include "indexer/scorer.h"

namespace headrace::indexer {
namespace {

constexpr uint64_t kChains = 24;
constexpr uint64_t kChainBlocks = 48;
constexpr uint32_t kPods = 40;

// How engine keys and request keys go together.
enum class Naming : uint8_t { kOne, kSeveralEngines, kManyToOne, kOneToMany, kAnything, kLast };

struct Reached {
  uint64_t adds = 0, copies = 0, removed = 0, unknown = 0, by_keys = 0, ended = 0, swept = 0;
  uint64_t links = 0, resolved_many = 0, scores = 0, scored_pods = 0, filtered = 0, partial = 0;
  uint64_t groups = 0, windowed = 0, lists = 0, bits = 0, freed = 0, broken = 0;
};

class History {
 public:
  History(uint64_t seed, Naming naming, bool sweeps_in_steps)
      : random_(seed), naming_(naming), in_steps_(sweeps_in_steps) {
    memory_ = *MemoryIndex::Create({.seed = seed});
    for (const auto& [name, weight] :
         {std::pair("gpu", 1.0), {"cpu", 0.75}, {"disk", 0.5}, {"remote", 0.25}}) {
      tiers_.Set(name, weight);  // sums of these are exact
    }
    scorer_.emplace(memory_.get(), &tiers_);
    SetGroups(3, {{0, GroupRule::kFull, 0}, {1, GroupRule::kWindow, 50}});
    SetGroups(4, {{0, GroupRule::kFull, 0}, {1, GroupRule::kFull, 0}, {2, GroupRule::kState, 0}});
    SetGroups(5, {{0, GroupRule::kWindow, 33}, {1, GroupRule::kState, 0}});
    SetGroups(6, {{0, GroupRule::kWindow, 100}});
    // Far from each other, so that sets are lists.
    for (uint32_t i = 0; !in_steps_ && i < 3000; ++i) {
      if (i % 100 == 0) NewHolder();
      Both({kPods + i, 0, -1, false});
    }
    for (int i = 0; i < 60; ++i) NewHolder();
  }

  void Play(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) Step();
    FullSweep();
    memory_->Check();
    CheckAll();
  }
  const Reached& reached() const { return reached_; }

 private:
  struct Holder {
    HolderId memory, model;
  };

  void SetGroups(PodId pod, std::vector<GroupSpec> specs) {
    scorer_->SetGroups(pod, specs);
    groups_[pod] = std::move(specs);
  }
  Holder Both(const HolderInfo& info) { return {memory_->AddHolder(info), model_.AddHolder(info)}; }
  void NewHolder() {
    HolderInfo info;
    info.pod = static_cast<PodId>(random_.Below(kPods));
    info.tier = tiers_.Intern(random_.Chance(2, 3) ? "gpu" : random_.Chance(1, 2) ? "CPU" : "disk");
    if (groups_.count(info.pod) > 0) info.group = static_cast<int16_t>(random_.Below(4)) - 1;
    info.speculative = random_.Chance(1, 10);
    holders_.push_back(Both(info));
  }
  const Holder& AnyHolder() { return holders_[random_.Below(holders_.size())]; }

  static RequestKey KeyOf(uint64_t chain, uint64_t block) {
    return MixBits(chain * 1000 + block + 1);
  }
  EngineKey EngineOf(uint64_t chain, uint64_t block, uint64_t by) {
    if (naming_ == Naming::kAnything) return 1 + random_.Below(600);
    return MixBits(by * 1000000 + chain * 1000 + block + 77);
  }

  // A run of a chain, as some engine names it.
  struct Event {
    std::vector<EngineKey> engine;
    std::vector<RequestKey> keys;
  };
  Event AnyEvent() {
    Event event;
    const uint64_t chain = random_.Below(kChains);
    const uint64_t first = random_.Chance(1, 2) ? 0 : random_.Below(kChainBlocks - 1);
    uint64_t count = 1 + random_.Below(std::min<uint64_t>(kChainBlocks - first, 40));
    const uint64_t by = naming_ == Naming::kSeveralEngines ? random_.Below(4) : 0;
    for (uint64_t i = first; i < first + count; ++i) event.keys.push_back(KeyOf(chain, i));
    uint64_t names = count;
    if (naming_ == Naming::kManyToOne) names = count * 4;
    if (naming_ == Naming::kOneToMany) names = (count + 2) / 3;
    const uint64_t name_first = naming_ == Naming::kManyToOne ? first * 4 : first;
    for (uint64_t i = 0; i < names; ++i) {
      event.engine.push_back(EngineOf(chain, name_first + i, by));
    }
    return event;
  }

  void Step() {
    const uint64_t draw = random_.Below(1000);
    const uint64_t before = memory_->stats().blocks;
    if (draw < 330) {
      Add();
    } else if (draw < 600) {
      Remove();
    } else if (draw < 660) {
      RemoveKeys();
    } else if (draw < 668) {
      End();
    } else if (draw < 700) {
      SweepSome();
    } else if (draw < 900) {
      Score();
    } else {
      Look();
    }
    const uint64_t after = memory_->stats().blocks;
    reached_.freed += after < before ? 1 : 0;
    reached_.links += memory_->stats().engine_keys > after ? 1 : 0;
  }

  void Add() {
    const Holder holder = AnyHolder();
    Event event = AnyEvent();
    if (!in_steps_ && random_.Chance(1, 10)) event.engine.clear();
    const uint64_t had = memory_->stats().holder_sets;
    memory_->Add(holder.memory, event.engine, event.keys);
    model_.Add(holder.model, event.engine, event.keys);
    ++reached_.adds;
    if (memory_->stats().holder_sets == had) ++reached_.copies;
  }
  void Remove() {
    const Holder holder = AnyHolder();
    Event event = AnyEvent();
    if (random_.Chance(1, 20)) event.engine = {12345678901, random_.Next()};
    const size_t taken = memory_->Remove(holder.memory, event.engine);
    ASSERT_EQ(taken, model_.Remove(holder.model, event.engine));
    reached_.removed += taken;
    if (taken < event.keys.size()) ++reached_.unknown;
  }
  void RemoveKeys() {
    const Holder holder = AnyHolder();
    const Event event = AnyEvent();
    const size_t taken = memory_->RemoveKeys(holder.memory, event.keys);
    ASSERT_EQ(taken, model_.RemoveKeys(holder.model, event.keys));
    reached_.by_keys += taken;
  }
  void End() {
    const size_t at = random_.Below(holders_.size());
    const Holder ended = holders_[at];
    memory_->EndHolder(ended.memory);
    model_.EndHolder(ended.model);
    std::erase_if(holders_, [&](const Holder& h) { return h.memory == ended.memory; });
    NewHolder();
    ++reached_.ended;
  }
  void SweepSome() {
    if (!in_steps_) return FullSweep();
    if (!memory_->Sweep(1 + random_.Below(400))) (void)model_.Sweep(1);
    ++reached_.partial;
  }
  void FullSweep() {
    while (memory_->Sweep(100)) ++reached_.swept;
    ASSERT_FALSE(model_.Sweep(1));
    ASSERT_EQ(memory_->stats().blocks, model_.stats().blocks);
    ASSERT_EQ(memory_->stats().engine_keys, model_.stats().engine_keys);
    ASSERT_EQ(memory_->stats().holder_sets, model_.stats().holder_sets);
    ASSERT_EQ(memory_->stats().holders, model_.stats().holders);
  }

  void Score() {
    std::vector<RequestKey> keys;
    const uint64_t chain = random_.Below(kChains);
    for (uint64_t i = 0; i < 1 + random_.Below(kChainBlocks); ++i) keys.push_back(KeyOf(chain, i));
    if (random_.Chance(1, 8)) {
      keys[random_.Below(keys.size())] = random_.Next();
      ++reached_.broken;
    }
    std::vector<PodId> pods;
    ScoreRequest request;
    request.keys = keys;
    request.filter = random_.Chance(1, 2);
    for (uint64_t i = random_.Below(12); i > 0; --i) {
      pods.push_back(static_cast<PodId>(random_.Below(kPods + 5000)));
      if (random_.Chance(3, 4)) pods.back() %= kPods;
    }
    request.pods = pods;
    std::vector<PodScore> scores;
    scorer_->Score(request, &scores);
    const std::vector<PodScore> expected = model_.Score(request, tiers_, groups_);
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      ASSERT_EQ(scores[i].pod, expected[i].pod) << i;
      ASSERT_EQ(scores[i].blocks, expected[i].blocks) << "pod " << scores[i].pod;
      ASSERT_EQ(scores[i].score, expected[i].score) << "pod " << scores[i].pod;
      ASSERT_DOUBLE_EQ(scores[i].normalized, expected[i].normalized);
      const auto several = groups_.find(scores[i].pod);
      if (several == groups_.end()) continue;
      ++reached_.groups;
      if (several->second[0].rule != GroupRule::kFull) ++reached_.windowed;
    }
    ++reached_.scores;
    reached_.scored_pods += scores.size();
    if (request.filter && !scores.empty()) ++reached_.filtered;
  }

  std::vector<HolderInfo> Infos(const Index& index, RequestKey key) const {
    std::vector<HolderInfo> infos;
    for (const HolderId holder : index.Holders(key)) infos.push_back(index.holder(holder));
    std::sort(infos.begin(), infos.end(), [](const HolderInfo& a, const HolderInfo& b) {
      return std::tie(a.pod, a.tier, a.group, a.speculative) <
             std::tie(b.pod, b.tier, b.group, b.speculative);
    });
    return infos;
  }
  void CheckHolders(RequestKey key) {
    const auto got = Infos(*memory_, key), expected = Infos(model_, key);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(
          std::tie(got[i].pod, got[i].tier, got[i].group, got[i].speculative),
          std::tie(expected[i].pod, expected[i].tier, expected[i].group, expected[i].speculative));
    }
  }
  void Look() {
    const Event event = AnyEvent();
    for (const RequestKey key : event.keys) CheckHolders(key);
    if (in_steps_) return;  // what ended holders left goes at other times
    for (const EngineKey engine : event.engine) {
      const auto got = memory_->Resolve(engine);
      const auto expected = model_.Resolve(engine);
      ASSERT_EQ(std::vector<RequestKey>(got.begin(), got.end()),
                std::vector<RequestKey>(expected.begin(), expected.end()));
      if (got.size() > 1) ++reached_.resolved_many;
    }
  }
  void CheckAll() {
    uint64_t cursor = 0, seen = 0;
    do {
      cursor = memory_->Visit(cursor, 100, [&](RequestKey key, EngineKey engine, auto holders) {
        ++seen;
        ASSERT_EQ(holders.size(), model_.Holders(key).size());
        if (engine == 0) return;
        const auto named = model_.Resolve(engine);
        ASSERT_TRUE(std::find(named.begin(), named.end(), key) != named.end());
      });
    } while (cursor != 0);
    ASSERT_EQ(seen, model_.stats().blocks);
    for (uint64_t chain = 0; chain < kChains; ++chain) {
      for (uint64_t i = 0; i < kChainBlocks; ++i) CheckHolders(KeyOf(chain, i));
    }
    for (SetId set = 1; set < 100000; ++set) {
      if (set >= memory_->stats().holder_sets) break;
      const HolderSet& record = memory_->sets()[set];
      reached_.lists += record.kind() == HolderSet::Form::kList ? 1 : 0;
      reached_.bits += record.kind() == HolderSet::Form::kBits ? 1 : 0;
    }
  }

  Random random_;
  const Naming naming_;
  const bool in_steps_;
  std::unique_ptr<MemoryIndex> memory_;
  ModelIndex model_;
  TierTable tiers_;
  std::optional<Scorer> scorer_;
  std::map<PodId, std::vector<GroupSpec>> groups_;
  std::vector<Holder> holders_;
  Reached reached_;
};

// As many steps as make some hundred thousand single operations over all seeds.
Reached PlayAll(uint64_t seed, Naming naming, bool in_steps) {
  History history(seed, naming, in_steps);
  history.Play(5000);
  return history.reached();
}

TEST(MemoryIndexModel, AgreesWithOneNameABlock) {
  const Reached full = PlayAll(1, Naming::kOne, false);
  EXPECT_GT(full.adds, 1000u);
  EXPECT_GT(full.copies, 100u);
  EXPECT_GT(full.removed, 1000u);
  EXPECT_GT(full.unknown, 100u);
  EXPECT_GT(full.by_keys, 100u);
  EXPECT_GT(full.ended, 10u);
  EXPECT_GT(full.swept, 10u);
  EXPECT_GT(full.scores, 500u);
  EXPECT_GT(full.scored_pods, 3000u);
  EXPECT_GT(full.filtered, 100u);
  EXPECT_GT(full.groups, 100u);
  EXPECT_GT(full.windowed, 10u);
  EXPECT_GT(full.lists, 10u);
  EXPECT_GT(full.freed, 10u);
  EXPECT_GT(full.broken, 50u);
}

TEST(MemoryIndexModel, AgreesWhileItSweepsInSteps) {
  for (uint64_t seed = 10; seed < 13; ++seed) {
    const Reached reached = PlayAll(seed, Naming::kOne, true);
    EXPECT_GT(reached.partial, 50u);
    EXPECT_GT(reached.bits, 10u);
    EXPECT_GT(reached.ended, 10u);
  }
}

TEST(MemoryIndexModel, AgreesWithSeveralEnginesABlock) {
  const Reached reached = PlayAll(20, Naming::kSeveralEngines, false);
  EXPECT_GT(reached.links, 1000u);
  EXPECT_GT(reached.removed, 1000u);
}

TEST(MemoryIndexModel, AgreesWithSmallerAndLargerEngineBlocks) {
  const Reached many = PlayAll(30, Naming::kManyToOne, false);
  EXPECT_GT(many.links, 1000u);
  const Reached few = PlayAll(31, Naming::kOneToMany, false);
  EXPECT_GT(few.resolved_many, 500u);
  EXPECT_GT(few.removed, 1000u);
}

TEST(MemoryIndexModel, AgreesWithNamesThatMeanAnything) {
  for (uint64_t seed = 40; seed < 43; ++seed) {
    const Reached reached = PlayAll(seed, Naming::kAnything, false);
    EXPECT_GT(reached.resolved_many, 500u);
  }
}

}  // namespace
}  // namespace headrace::indexer
