#include "sim/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "base/random.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kTokens = 4;  // a block

wire::BlockHash HashOf(uint64_t number) {
  std::array<uint8_t, 8> bytes;
  for (int i = 0; i < 8; ++i) bytes[7 - i] = static_cast<uint8_t>(number >> (8 * i));
  return wire::BlockHash::Of(bytes);
}
uint64_t NumberOf(const wire::BlockHash& hash) {
  uint64_t number = 0;
  for (const uint8_t byte : hash.view()) number = number << 8 | byte;
  return number;
}
uint32_t TokenOf(uint64_t number, uint32_t i) {
  return static_cast<uint32_t>(number * kTokens + i);
}
void AddTokens(uint64_t number, std::vector<uint32_t>* tokens) {
  for (uint32_t i = 0; i < kTokens; ++i) tokens->push_back(TokenOf(number, i));
}

// A cache with what a subscriber believes to be in it.
struct Rig {
  explicit Rig(uint32_t blocks)
      : cache({.blocks = blocks, .block_tokens = kTokens, .listener = [this](const KvChange& it) {
                 Hear(it);
               }}) {}

  void Hear(const KvChange& change) {
    log += change.kind == KvChange::Kind::kStored    ? "+"
           : change.kind == KvChange::Kind::kRemoved ? "-"
                                                     : "clear";
    if (change.kind == KvChange::Kind::kCleared) believed.clear();
    if (change.kind == KvChange::Kind::kStored) {
      EXPECT_EQ(change.tokens.size(), change.hashes.size() * kTokens);
      EXPECT_TRUE(change.parent == nullptr || believed.contains(NumberOf(*change.parent)));
    }
    for (size_t i = 0; i < change.hashes.size(); ++i) {
      const uint64_t number = NumberOf(change.hashes[i]);
      log += std::to_string(number) + ",";
      if (change.kind == KvChange::Kind::kRemoved) {
        EXPECT_EQ(believed.erase(number), 1u) << number;
        ++removed;
      } else {
        EXPECT_TRUE(believed.insert(number).second) << number;
        EXPECT_EQ(change.tokens[i * kTokens], TokenOf(number, 0));
        EXPECT_EQ(change.tokens[i * kTokens + 3], TokenOf(number, 3));
      }
    }
    if (change.kind == KvChange::Kind::kStored) {
      log += "<" + (change.parent == nullptr ? "" : std::to_string(NumberOf(*change.parent)));
    }
    log += " ";
    lora = change.lora_name;
    extras = change.extras.size();
  }

  std::optional<KvCache::Started> Start(const std::vector<uint64_t>& numbers) {
    std::vector<wire::BlockHash> hashes;
    std::vector<uint32_t> tokens = {};
    for (const uint64_t number : numbers) {
      hashes.push_back(HashOf(number));
      AddTokens(number, &tokens);
    }
    tokens.push_back(7);  // of a block that is not full
    return cache.Start({.hashes = hashes, .tokens = tokens});
  }
  // One that is filled at once.
  KvCache::SequenceId Run(const std::vector<uint64_t>& numbers) {
    const auto started = Start(numbers);
    HR_CHECK(started);
    cache.Filled(started->id, static_cast<uint32_t>(numbers.size()));
    return started->id;
  }
  void Visit(const std::vector<uint64_t>& numbers) { cache.End(Run(numbers)); }
  bool Append(KvCache::SequenceId id, uint64_t number) {
    std::vector<uint32_t> tokens;
    AddTokens(number, &tokens);
    return cache.Append(id, HashOf(number), tokens);
  }
  uint32_t Match(const std::vector<uint64_t>& numbers) {
    std::vector<wire::BlockHash> hashes;
    for (const uint64_t number : numbers) hashes.push_back(HashOf(number));
    return cache.Match(hashes);
  }

  std::set<uint64_t> believed;
  std::string log;
  std::string lora;
  size_t extras = 0;
  size_t removed = 0;
  KvCache cache;
};

TEST(KvCache, ShowsBlocksWhenTheyAreFilled) {
  Rig rig(8);
  const auto started = rig.Start({1, 2, 3});
  ASSERT_TRUE(started);
  EXPECT_EQ(started->hit_blocks, 0u);
  EXPECT_EQ(rig.Match({1, 2, 3}), 0u);
  rig.cache.Filled(started->id, 2);
  EXPECT_EQ(rig.Match({1, 2, 3}), 2u);
  rig.cache.Filled(started->id, 3);
  EXPECT_EQ(rig.log, "+1,2,< +3,<2 ");
  EXPECT_EQ(rig.cache.used_blocks(), 3u);
  EXPECT_EQ(rig.cache.kept_blocks(), 3u);
}

TEST(KvCache, HitsOnlyWhatIsThereFromTheBeginningOn) {
  Rig rig(8);
  rig.Visit({1, 2, 3});
  EXPECT_EQ(rig.Match({1, 2, 9, 3}), 2u);
  EXPECT_EQ(rig.Match({9, 1, 2}), 0u);
  const auto started = rig.Start({1, 2, 4});
  EXPECT_EQ(started->hit_blocks, 2u);
  rig.cache.Filled(started->id, 3);
  EXPECT_EQ(rig.log, "+1,2,3,< +4,<2 ");
}

TEST(KvCache, KeepsOfASequenceThatEndsWhatItFilled) {
  Rig rig(8);
  const auto started = rig.Start({1, 2, 3});
  rig.cache.Filled(started->id, 1);
  rig.cache.End(started->id);
  EXPECT_EQ(rig.cache.used_blocks(), 0u);
  EXPECT_EQ(rig.cache.kept_blocks(), 1u);
  EXPECT_EQ(rig.Match({1, 2}), 1u);
  EXPECT_TRUE(rig.Start({10, 11, 12, 13, 14, 15, 16}));  // the room of the others is free again
  EXPECT_EQ(rig.removed, 0u);
}

TEST(KvCache, SharesBlocksOfEqualHash) {
  Rig rig(4);
  const auto one = rig.Start({1, 2, 3});
  const auto two = rig.Start({1, 2, 3, 4});
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->id, two->id);
  EXPECT_EQ(two->hit_blocks, 0u);  // nothing is filled yet
  EXPECT_EQ(rig.cache.used_blocks(), 4u);
  rig.cache.Filled(one->id, 2);
  rig.cache.Filled(two->id, 4);
  EXPECT_EQ(rig.log, "+1,2,< +3,4,<2 ");
  rig.cache.Filled(one->id, 3);
  rig.cache.End(one->id);
  EXPECT_EQ(rig.cache.used_blocks(), 4u);
  rig.cache.End(two->id);
  EXPECT_EQ(rig.cache.used_blocks(), 0u);
  EXPECT_EQ(rig.log, "+1,2,< +3,4,<2 ");
}

TEST(KvCache, OfASharedRunTellsOnlyWhatIsNew) {
  Rig rig(8);
  const auto one = rig.Start({1, 2, 3, 4});
  const auto two = rig.Start({1, 2, 3});
  rig.cache.Filled(two->id, 1);
  rig.cache.Filled(one->id, 2);
  rig.cache.Filled(two->id, 3);
  rig.cache.Filled(one->id, 4);
  EXPECT_EQ(rig.log, "+1,< +2,<1 +3,<2 +4,<3 ");
}

TEST(KvCache, EvictsTheLeastRecentlyUsedAndTailsFirst) {
  Rig rig(5);
  rig.Visit({1, 2, 3});
  rig.Visit({5, 6});
  rig.Visit({1, 2});  // used again: 3 is the oldest now
  rig.log.clear();
  rig.Visit({10});
  rig.Visit({11, 12});
  EXPECT_EQ(rig.log, "-3, +10,< -6,5, +11,12,< ");
  rig.log.clear();
  rig.Visit({13});
  EXPECT_EQ(rig.log, "-2, +13,< ");
  EXPECT_EQ(rig.cache.kept_blocks(), 5u);
}

TEST(KvCache, NeverEvictsWhatTheNewSequenceUses) {
  Rig rig(3);
  rig.Visit({1, 2, 3});
  const auto started = rig.Start({1, 2, 4});
  ASSERT_TRUE(started);
  EXPECT_EQ(started->hit_blocks, 2u);
  EXPECT_EQ(rig.log, "+1,2,3,< -3, ");
}

TEST(KvCache, TakesAllOrNothing) {
  Rig rig(4);
  const auto one = rig.Run({1, 2, 3});
  rig.Visit({9});
  EXPECT_FALSE(rig.Start({9, 10}));  // 9 cannot make room for what follows it
  EXPECT_FALSE(rig.Start({4, 5}));
  EXPECT_EQ(rig.removed, 0u);
  EXPECT_EQ(rig.cache.used_blocks(), 3u);
  EXPECT_TRUE(rig.Start({1, 2, 4}));
  EXPECT_FALSE(rig.Start({5}));
  rig.cache.End(one);
  EXPECT_TRUE(rig.Start({5}));
}

TEST(KvCache, GrowsBySequencesThatGenerate) {
  Rig rig(3);
  const auto one = rig.Run({1});
  EXPECT_TRUE(rig.Append(one, 2));
  EXPECT_TRUE(rig.Append(one, 3));
  EXPECT_EQ(rig.log, "+1,< +2,<1 +3,<2 ");
  EXPECT_FALSE(rig.Append(one, 4));
  rig.cache.End(one);
  const auto two = rig.Start({1, 2});
  EXPECT_EQ(two->hit_blocks, 2u);
  EXPECT_TRUE(rig.Append(two->id, 3));  // is there
  EXPECT_EQ(rig.log, "+1,< +2,<1 +3,<2 ");
  EXPECT_TRUE(rig.Start({}));
}

TEST(KvCache, ForgetsAllWhenCleared) {
  Rig rig(8);
  rig.Visit({5, 6});
  const auto one = rig.Start({1, 2, 3});
  rig.cache.Filled(one->id, 2);
  rig.cache.Clear();
  EXPECT_TRUE(rig.believed.empty());
  EXPECT_EQ(rig.cache.kept_blocks(), 0u);
  EXPECT_EQ(rig.cache.used_blocks(), 3u);
  EXPECT_EQ(rig.Match({1}), 0u);
  rig.log.clear();
  rig.cache.Filled(one->id, 3);
  EXPECT_TRUE(rig.Append(one->id, 4));
  EXPECT_EQ(rig.Match({1}), 0u);
  EXPECT_EQ(rig.log, "");
  const auto two = rig.Run({1, 2});  // beside the blocks that one still holds
  EXPECT_EQ(rig.cache.used_blocks(), 6u);
  rig.cache.End(one->id);
  EXPECT_EQ(rig.cache.used_blocks(), 2u);
  EXPECT_EQ(rig.Match({1, 2, 3}), 2u);
  rig.cache.End(two);
  EXPECT_EQ(rig.believed, (std::set<uint64_t>{1, 2}));
}

TEST(KvCache, TellsTheLoraAndTheExtraKeys) {
  Rig rig(8);
  const std::vector<wire::BlockHash> hashes = {HashOf(1), HashOf(2)};
  std::vector<uint32_t> tokens;
  AddTokens(1, &tokens);
  AddTokens(2, &tokens);
  const std::vector<wire::ExtraKeys> extras(2);
  const auto id = rig.cache
                      .Start({.hashes = hashes,
                              .tokens = tokens,
                              .extras = extras,
                              .lora_slot = 3,
                              .lora_name = "adapter"})
                      ->id;
  rig.cache.Filled(id, 1);
  EXPECT_EQ(rig.lora, "adapter");
  EXPECT_EQ(rig.extras, 1u);
  rig.cache.Filled(id, 2);
  EXPECT_TRUE(rig.Append(id, 3));
  EXPECT_EQ(rig.extras, 1u);
  EXPECT_EQ(rig.believed, (std::set<uint64_t>{1, 2, 3}));
}

TEST(KvCache, WithoutBlocksServesOnlyPromptsWithoutAny) {
  Rig rig(0);
  EXPECT_FALSE(rig.Start({1}));
  const auto started = rig.Start({});
  ASSERT_TRUE(started);
  EXPECT_FALSE(rig.Append(started->id, 1));
  rig.cache.End(started->id);
}

// The same in lists, without a thought for speed.
class Model {
 public:
  explicit Model(size_t capacity) : capacity_(capacity) {}

  struct Running {
    std::vector<uint64_t> numbers;
    size_t filled = 0;
    bool lost = false;
  };

  size_t Match(const std::vector<uint64_t>& numbers) const {
    size_t count = 0;
    while (count < numbers.size() && filled_.contains(numbers[count])) ++count;
    return count;
  }
  bool Start(uint64_t id, const std::vector<uint64_t>& numbers) {
    std::set<uint64_t> wanted(numbers.begin(), numbers.end());
    for (const auto& [number, users] : users_) wanted.insert(number);
    if (wanted.size() + lost_blocks() > capacity_) return false;
    const size_t hits = Match(numbers);
    for (const uint64_t number : numbers) {
      std::erase(unused_, number);
      shared += users_[number]++ > 0;
    }
    Evict();
    running[id] = {numbers, hits, false};
    return true;
  }
  void Filled(uint64_t id, size_t count) {
    Running& one = running[id];
    one.filled = count;
    for (size_t i = 0; i < count && !one.lost; ++i) filled_.insert(one.numbers[i]);
  }
  bool Append(uint64_t id, uint64_t number) {
    Running& one = running[id];
    const bool there = !one.lost && (users_.contains(number) || filled_.contains(number));
    if (!there && users_.size() + lost_blocks() == capacity_) return false;
    one.numbers.push_back(number);
    one.filled = one.numbers.size();
    if (one.lost) {
      appended_lost_[id].push_back(number);
    } else {
      std::erase(unused_, number);
      ++users_[number];
      filled_.insert(number);
    }
    Evict();
    return true;
  }
  void End(uint64_t id) {
    Running& one = running[id];
    for (auto at = one.numbers.rbegin(); at != one.numbers.rend(); ++at) {
      if (one.lost) continue;
      if (--users_[*at] > 0) continue;
      users_.erase(*at);
      if (filled_.contains(*at)) unused_.push_back(*at);
    }
    half_filled += one.filled < one.numbers.size();
    running.erase(id);
    appended_lost_.erase(id);
    lost_.erase(id);
  }
  void Clear() {
    ++generation_;
    for (auto& [id, one] : running) {
      if (one.lost) continue;
      one.lost = true;
      for (const uint64_t number : one.numbers) lost_[id].insert({generation_, number});
    }
    users_.clear();
    filled_.clear();
    unused_.clear();
  }
  size_t used() const { return users_.size() + lost_blocks(); }
  const std::set<uint64_t>& filled() const { return filled_; }

  std::map<uint64_t, Running> running;
  size_t evicted = 0, shared = 0, half_filled = 0;

 private:
  void Evict() {
    while (unused_.size() + used() > capacity_) {
      filled_.erase(unused_.front());
      unused_.pop_front();
      ++evicted;
    }
  }
  // What a Clear left to several goes with the last of them that holds it; what such a sequence
  // appends is its own.
  size_t lost_blocks() const {
    std::set<std::pair<uint64_t, uint64_t>> distinct;
    for (const auto& [id, blocks] : lost_) distinct.insert(blocks.begin(), blocks.end());
    size_t count = distinct.size();
    for (const auto& [id, numbers] : appended_lost_) count += numbers.size();
    return count;
  }

  const size_t capacity_;
  std::map<uint64_t, uint32_t> users_;
  std::set<uint64_t> filled_;
  std::deque<uint64_t> unused_;
  uint64_t generation_ = 0;
  // Of sequences that outlived a Clear: what they held then, and what they appended since.
  std::map<uint64_t, std::set<std::pair<uint64_t, uint64_t>>> lost_;
  std::map<uint64_t, std::vector<uint64_t>> appended_lost_;
};

// Chains that branch: a number names all of its predecessors, as a hash does.
std::vector<uint64_t> RandomChain(Random* random) {
  std::vector<uint64_t> chain;
  uint64_t number = 1 + random->Below(3);
  for (uint64_t length = random->Below(7); length > 0; --length) {
    chain.push_back(number);
    number = number * 3 + 1 + random->Below(2);
  }
  return chain;
}

struct Seen {
  size_t no_room = 0, append_failed = 0, hits = 0, cleared_running = 0;
};

class History {
 public:
  explicit History(uint64_t seed) : random_(seed), rig_(kBlocks), model_(kBlocks) {}

  void Step(Seen* seen) {
    const uint64_t roll = random_.Below(1000);
    if (roll < 3) return Clear(seen);
    if (roll < 350) return Start(seen);
    if (roll < 600) return End();
    if (roll < 800) return Fill();
    Append(seen);
  }
  void Compare() {
    ASSERT_EQ(rig_.cache.used_blocks(), model_.used());
    ASSERT_EQ(rig_.cache.kept_blocks(), model_.filled().size());
    ASSERT_EQ(rig_.believed, model_.filled());
    const auto chain = RandomChain(&random_);
    ASSERT_EQ(rig_.Match(chain), model_.Match(chain));
  }
  size_t evicted() const { return model_.evicted; }
  size_t shared() const { return model_.shared; }
  size_t half_filled() const { return model_.half_filled; }
  const Rig& rig() const { return rig_; }

 private:
  static constexpr uint32_t kBlocks = 12;

  uint64_t Any() {
    auto at = model_.running.begin();
    std::advance(at, random_.Below(model_.running.size()));
    return at->first;
  }
  void Clear(Seen* seen) {
    for (const auto& [id, one] : model_.running) seen->cleared_running += !one.lost;
    rig_.cache.Clear();
    model_.Clear();
  }
  void Start(Seen* seen) {
    const auto chain = RandomChain(&random_);
    const auto started = rig_.Start(chain);
    const size_t hits = model_.Match(chain);
    if (!started) {
      ++seen->no_room;
      ASSERT_FALSE(model_.Start(~0ull, chain));
      return;
    }
    ASSERT_TRUE(model_.Start(started->id, chain));
    ASSERT_EQ(started->hit_blocks, hits);
    seen->hits += hits;
  }
  void End() {
    if (model_.running.empty()) return;
    const uint64_t id = Any();
    rig_.cache.End(id);
    model_.End(id);
  }
  void Fill() {
    if (model_.running.empty()) return;
    const uint64_t id = Any();
    const auto& one = model_.running[id];
    const size_t count = random_.Between(one.filled, one.numbers.size());
    rig_.cache.Filled(id, static_cast<uint32_t>(count));
    model_.Filled(id, count);
  }
  void Append(Seen* seen) {
    if (model_.running.empty()) return;
    const uint64_t id = Any();
    const auto& one = model_.running[id];
    if (one.numbers.empty() || one.numbers.size() > 8) return;
    if (one.filled < one.numbers.size()) return;
    const uint64_t number = one.numbers.back() * 3 + 1 + random_.Below(2);
    const bool appended = rig_.Append(id, number);
    ASSERT_EQ(appended, model_.Append(id, number));
    seen->append_failed += !appended;
  }

  Random random_;
  Rig rig_;
  Model model_;
};

TEST(KvCache, DoesWhatAModelDoes) {
  Seen seen;
  size_t evicted = 0, shared = 0, half_filled = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    History history(seed);
    for (int step = 0; step < 2000; ++step) {
      history.Step(&seen);
      ASSERT_NO_FATAL_FAILURE(history.Compare()) << step;
    }
    evicted += history.evicted();
    shared += history.shared();
    half_filled += history.half_filled();
    EXPECT_EQ(history.rig().removed, history.evicted());
  }
  EXPECT_GT(evicted, 1000u);
  EXPECT_GT(shared, 1000u);
  EXPECT_GT(half_filled, 1000u);
  EXPECT_GT(seen.no_room, 1000u);
  EXPECT_GT(seen.append_failed, 100u);
  EXPECT_GT(seen.hits, 1000u);
  EXPECT_GT(seen.cleared_running, 100u);
}

}  // namespace
}  // namespace headrace::sim
