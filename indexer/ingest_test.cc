#include "indexer/ingest.h"

#include "indexer/ingest_world.h"

namespace headrace::indexer {
namespace {

// msgpack of extra keys: for each block a list of texts, empty: nil.
std::string Texts(const std::vector<std::vector<std::string>>& blocks) {
  std::string raw;
  wire::MsgpackWriter writer(&raw);
  writer.Array(static_cast<uint32_t>(blocks.size()));
  for (const auto& block : blocks) {
    if (block.empty()) {
      writer.Nil();
      continue;
    }
    writer.Array(static_cast<uint32_t>(block.size()));
    for (const auto& text : block) writer.Str(text);
  }
  return raw;
}

TEST(Digest, ChainsBlocksBehindTheirParent) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Store("a", {.hashes = {103, 104}, .parent = 102, .tokens = Tokens(9, 16)});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 4);
  w.Remove("a", {.hashes = {102}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 1);
}

TEST(Digest, LetsAnEventWaitForItsParentWhoeverTeachesIt) {
  IngestWorld w;
  w.Store("a", {.hashes = {104}, .parent = 103, .tokens = Tokens(13, 16)});
  w.Store("a", {.hashes = {103}, .parent = 102, .tokens = Tokens(9, 12)});
  EXPECT_EQ(w.digest.pending(), 2u);
  EXPECT_EQ(w.counters("a").waiting, 2u);
  EXPECT_TRUE(w.Scores(Tokens(1, 16)).empty());
  w.Store("b", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  EXPECT_EQ(w.digest.pending(), 0u);
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 16)), 2);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 0);  // teaching makes nobody a holder
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 4);
  EXPECT_EQ(w.counters("a").waited, 2u);
  EXPECT_EQ(w.counters("a").waiting, 0u);
  EXPECT_EQ(w.counters("a").dropped, 0u);
}

TEST(Digest, NeverBeginsAChainAtTheRootForWantOfAParent) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .parent = 99, .tokens = Tokens(1, 8)});
  EXPECT_TRUE(w.Scores(Tokens(1, 8)).empty());
}

TEST(Digest, AppliesRemovalsToStoresThatStillWait) {
  IngestWorld w;
  w.Store("a", {.hashes = {103, 104}, .parent = 102, .tokens = Tokens(9, 16)});
  w.Remove("a", {.hashes = {104}});
  w.Remove("b", {.hashes = {103}});                   // another pod's
  w.Remove("a", {.hashes = {103}, .medium = "CPU"});  // another tier's
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 3);
}

TEST(Digest, BoundsWhatWaitsByCountAndByAge) {
  IngestWorld w({.pending = {.max_waiters = 2, .max_age = seconds(10)}});
  w.Store("a", {.hashes = {111}, .parent = 110, .tokens = Tokens(1, 4)});
  w.Store("a", {.hashes = {121}, .parent = 120, .tokens = Tokens(1, 4)});
  w.Store("b", {.hashes = {131}, .parent = 130, .tokens = Tokens(1, 4)});
  EXPECT_EQ(w.digest.pending(), 2u);
  EXPECT_EQ(w.counters("a").dropped, 1u);
  w.digest.Tick(w.now + seconds(9));
  EXPECT_EQ(w.digest.pending(), 2u);
  w.digest.Tick(w.now + seconds(10));
  EXPECT_EQ(w.digest.pending(), 0u);
  EXPECT_EQ(w.digest.pending_bytes(), 0u);
  EXPECT_EQ(w.counters("a").dropped, 2u);
  EXPECT_EQ(w.counters("b").dropped, 1u);
}

TEST(Digest, ResolvesHashesAloneThroughWhatEnginesTaught) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Store("node", {.hashes = {101, 102}, .medium = "cpu"});
  EXPECT_DOUBLE_EQ(w.ScoreOf("node", Tokens(1, 8)), 1.6);
  w.Store("node", {.hashes = {103}, .medium = "cpu"});
  EXPECT_EQ(w.digest.pending(), 1u);
  w.Store("a", {.hashes = {103}, .parent = 102, .tokens = Tokens(9, 12)});
  EXPECT_DOUBLE_EQ(w.ScoreOf("node", Tokens(1, 16)), 0.8 * 3);
  w.Store("node", {.hashes = {104}, .medium = "cpu"});
  EXPECT_EQ(w.counters("node").waiting, 1u);
  w.Remove("node", {.hashes = {104}, .medium = "cpu"});
  EXPECT_EQ(w.digest.pending(), 0u);
  EXPECT_EQ(w.counters("node").waiting, 0u);
}

TEST(Digest, ResolvesAHashOfABlockThatItsEngineHasRemovedMeanwhile) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Remove("a", {.hashes = {102, 101}});
  w.Store("node", {.hashes = {101, 102}, .medium = "cpu"});
  EXPECT_DOUBLE_EQ(w.ScoreOf("node", Tokens(1, 8)), 1.6);
  w.Remove("node", {.hashes = {101}, .medium = "cpu"});
  EXPECT_TRUE(w.Scores(Tokens(1, 8)).empty());
}

TEST(Digest, CountsWhatANodeHoldsForThePodsThatItServes) {
  IngestWorld w;
  w.Store("a", {.hashes = {101}, .tokens = Tokens(1, 4)});
  w.Store("node", {.hashes = {101}, .medium = "cpu", .pods = {{"a", "b"}}});
  auto scores = w.Scores(Tokens(1, 8));
  EXPECT_EQ(scores.size(), 3u);
  EXPECT_DOUBLE_EQ(scores.at("a"), 1.0);
  EXPECT_DOUBLE_EQ(scores.at("b"), 0.8);
  // An event that does not say leaves the list, also one that ends all blocks.
  w.Clear("node");
  w.Store("node", {.hashes = {101}, .medium = "cpu"});
  EXPECT_DOUBLE_EQ(w.ScoreOf("b", Tokens(1, 8)), 0.8);
  // A list replaces the one before it, at once.
  w.Store("node", {.pods = {{"c"}}});
  scores = w.Scores(Tokens(1, 8));
  EXPECT_EQ(scores.count("b"), 0u);
  EXPECT_DOUBLE_EQ(scores.at("c"), 0.8);
  EXPECT_FALSE(w.pods.Find("b"));  // nothing but the list knew it
  w.Store("node", {.pods = std::vector<std::string>{}});
  EXPECT_EQ(w.Scores(Tokens(1, 8)).count("c"), 0u);
  EXPECT_DOUBLE_EQ(w.ScoreOf("node", Tokens(1, 8)), 0.8);
  EXPECT_TRUE(w.pods.Find("a"));
}

TEST(Digest, JoinsANodesHashesUnderTheNameThatItsPodsCallTheModel) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  const auto tell = [&](const std::string& topic, const Say& say) {
    ASSERT_TRUE(w.Tell("node", wire::EventType::kStored, say, -1, topic));
  };
  tell("vllm-1", {.hashes = {101}, .medium = "cpu"});
  EXPECT_EQ(w.ScoreOf("node", Tokens(1, 8)), 0);
  tell("vllm-1", {.pods = {{"b"}}, .pods_model = "m"});
  tell("vllm-1", {.hashes = {101, 102}, .medium = "cpu"});
  EXPECT_DOUBLE_EQ(w.ScoreOf("b", Tokens(1, 8)), 1.6);
  // Another topic of the node that means the same model has a list of its own.
  tell("vllm-2", {.hashes = {101}, .medium = "cpu", .pods = {{"c"}}, .pods_model = "m"});
  EXPECT_DOUBLE_EQ(w.ScoreOf("b", Tokens(1, 8)), 1.6);
  EXPECT_DOUBLE_EQ(w.ScoreOf("c", Tokens(1, 8)), 0.8);
  // Another life begins without lists.
  w.digest.NewEpoch(&w.FeedOf("node", "vllm-1"));
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8)), 0);
  tell("vllm-1", {.hashes = {101}, .medium = "cpu"});
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8)), 0);
  tell("vllm-1", {.hashes = {101}, .medium = "cpu", .pods_model = "m"});
  EXPECT_FALSE(w.pods.Find("b"));
  EXPECT_DOUBLE_EQ(w.ScoreOf("c", Tokens(1, 8)), 0.8);
}

TEST(Digest, AServedPodsRanksAndModelsGoOnFromTheNodesBlocks) {
  IngestWorld w;
  const auto store = [&](const std::string& pod, const Say& say, int rank, const char* model) {
    ASSERT_TRUE(w.Tell(pod, wire::EventType::kStored, say, rank, model));
  };
  store("a", {.hashes = {201}, .tokens = Tokens(1, 4)}, 0, "other");
  store("node", {.pods = {{"a"}}, .pods_model = "m"}, -1, "vllm-1");
  store("a", {.hashes = {101}, .tokens = Tokens(1, 4)}, 1, "m");
  store("a", {.hashes = {102}, .parent = 101, .tokens = Tokens(5, 8)}, 0, "m");
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 1);  // rank 1
  store("node", {.hashes = {102}, .medium = "cpu"}, -1, "vllm-1");
  EXPECT_DOUBLE_EQ(w.ScoreOf("a", Tokens(1, 8)), 1.8);
  store("node", {.hashes = {101}, .medium = "cpu"}, -1, "vllm-1");
  EXPECT_DOUBLE_EQ(w.ScoreOf("a", Tokens(1, 8)), 1.8);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8), "other"), 1);
}

TEST(Digest, KeepsModelsApart) {
  IngestWorld w;
  ASSERT_TRUE(
      w.Tell("a", wire::EventType::kStored, {.hashes = {101}, .tokens = Tokens(1, 4)}, -1, "one"));
  ASSERT_TRUE(
      w.Tell("b", wire::EventType::kStored, {.hashes = {101}, .tokens = Tokens(1, 4)}, -1, "two"));
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8), "one"), 1);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8), "two"), 0);
  ASSERT_TRUE(w.Tell("a", wire::EventType::kRemoved, {.hashes = {101}}, -1, "one"));
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8), "two"), 1);
  // A clear of one of a pod's models leaves the other.
  ASSERT_TRUE(
      w.Tell("b", wire::EventType::kStored, {.hashes = {105}, .tokens = Tokens(1, 4)}, -1, "one"));
  ASSERT_TRUE(w.Tell("b", wire::EventType::kCleared, {}, -1, "one"));
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8), "one"), 0);
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8), "two"), 1);
}

TEST(Digest, ScoresRanksAsTheirPodAndClearsThemApart) {
  IngestWorld w;
  const auto tell = [&](wire::EventType type, const Say& say, int rank) {
    ASSERT_TRUE(w.Tell("a", type, say, rank));
  };
  tell(wire::EventType::kStored, {.hashes = {101}, .tokens = Tokens(1, 4)}, 0);
  tell(wire::EventType::kStored, {.hashes = {101, 102}, .tokens = Tokens(1, 8)}, 1);
  EXPECT_EQ(w.Scores(Tokens(1, 8)), (std::map<std::string, double>{{"a", 2}}));
  tell(wire::EventType::kCleared, {}, 1);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 1);
  w.digest.NewEpoch(&w.FeedOf("a"));
  EXPECT_TRUE(w.Scores(Tokens(1, 8)).empty());
}

TEST(Digest, IgnoresWhatWasOnItsWayWhenThePodWasRemoved) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Store("a", {.hashes = {109}, .parent = 108, .tokens = Tokens(1, 4)});
  const Feed old = w.FeedOf("a");
  w.pods.Remove(old.pod);
  EXPECT_TRUE(w.Scores(Tokens(1, 8)).empty());
  EXPECT_EQ(
      w.Tell("a", wire::EventType::kStored, {.hashes = {101}, .tokens = Tokens(1, 4)}).error().code,
      Errc::kGone);
  EXPECT_EQ(w.digest.late(), 1u);
  w.Store("b", {.hashes = {107, 108}, .tokens = Tokens(1, 8)});  // what waited is over, too
  EXPECT_EQ(w.digest.pending(), 0u);
  w.feeds.clear();
  w.Store("a", {.hashes = {101}, .tokens = Tokens(1, 4)});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 1);
}

TEST(Digest, ForgetsAllOfAPodAtAClearAndWhatWaited) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8), .medium = "CPU"});
  w.Store("a", {.hashes = {104}, .parent = 103, .tokens = Tokens(13, 16)});
  w.Store("b", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Clear("a");
  EXPECT_EQ(w.Scores(Tokens(1, 16)), (std::map<std::string, double>{{"b", 2}}));
  w.Store("b", {.hashes = {103}, .parent = 102, .tokens = Tokens(9, 12)});
  w.Store("a", {.hashes = {101, 102, 103}, .tokens = Tokens(1, 12)});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 3);  // not 4: what waited was said before the clear
  EXPECT_EQ(w.counters("a").dropped, 1u);
}

TEST(Digest, CountsCopies) {
  IngestWorld w;
  for (int i = 0; i < 2; ++i) w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Remove("a", {.hashes = {101, 102}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 2);
  w.Remove("a", {.hashes = {101, 102}});
  EXPECT_TRUE(w.Scores(Tokens(1, 8)).empty());
}

TEST(Digest, BelievesAPublisherThatCountsItsCopies) {
  IngestWorld w;
  for (int i = 0; i < 3; ++i) w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Remove("a", {.hashes = {101, 102}, .remaining = {1, 1}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 2);
  w.Remove("a", {.hashes = {102}, .remaining = {0}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 1);
}

TEST(Digest, RemovesByTierAndGroup) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8), .medium = "GPU"});
  w.Remove("a", {.hashes = {101, 102}, .medium = "CPU"});
  w.Remove("a", {.hashes = {101, 102}, .medium = "GPU", .group = 1});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 2);
  w.Remove("a", {.hashes = {102}});  // no medium: gpu
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 1);
}

TEST(Digest, LearnsGroupsAndCountsNoSparseStore) {
  IngestWorld w;
  int told = 0;
  w.pods.OnGroups([&](PodId, std::span<const GroupSpec>) { ++told; });
  w.Store("a",
          {.hashes = {101, 102}, .tokens = Tokens(1, 8), .group = 0, .kind = "full_attention"});
  w.Store("a", {.hashes = {101, 102},
                .tokens = Tokens(1, 8),
                .group = 1,
                .kind = "sliding_window",
                .window = 5});
  w.Store("a", {.hashes = {101}, .medium = "CPU", .group = 1});
  const auto groups = w.pods.groups(w.FeedOf("a").pod);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[1].rule, GroupRule::kWindow);
  EXPECT_EQ(groups[1].window_tokens, 5u);
  EXPECT_EQ(told, 2);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 2);
  // One hash of two blocks' tokens: nobody knows which.
  w.Store("b", {.hashes = {102}, .tokens = Tokens(1, 8), .group = 0, .kind = "full_attention"});
  w.Store("b", {.hashes = {101, 102}, .tokens = Tokens(1, 7)});
  EXPECT_EQ(w.counters("b").sparse, 2u);
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8)), 0);
}

TEST(Digest, JoinsSmallEngineBlocksAcrossEvents) {
  IngestWorld w({}, 8);
  w.Store("a", {.hashes = {101}, .tokens = Tokens(1, 2), .block = 2});
  w.Store("a", {.hashes = {102}, .parent = 101, .tokens = Tokens(3, 4), .block = 2});
  w.Store("a", {.hashes = {103, 104, 105}, .parent = 102, .tokens = Tokens(5, 10), .block = 2});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 1);
  // Another prompt that leaves this one inside a key.
  std::vector<uint32_t> other = Tokens(1, 8);
  other[6] = 70;
  w.Store("b", {.hashes = {204}, .parent = 103, .tokens = {70, 8}, .block = 2});
  EXPECT_EQ(w.ScoreOf("b", other), 1);
  // The second key goes on inside, too, and ends in an event of its own.
  w.Store("a", {.hashes = {106, 107, 108}, .parent = 105, .tokens = Tokens(11, 16), .block = 2});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 2);
  // Any part that goes takes the key with it.
  w.Remove("a", {.hashes = {106}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 1);
}

TEST(Digest, SplitsLargeEngineBlocks) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 16), .block = 8});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 4);
  w.Store("a", {.hashes = {101, 102}, .medium = "CPU"});
  w.Remove("a", {.hashes = {101, 102}, .medium = "GPU"});
  EXPECT_DOUBLE_EQ(w.ScoreOf("a", Tokens(1, 16)), 3.2);
  w.Store("a", {.hashes = {103}, .parent = 102, .tokens = Tokens(17, 24), .block = 8});
  EXPECT_DOUBLE_EQ(w.ScoreOf("a", Tokens(1, 24)), 5.2);
}

TEST(Digest, SurvivesHashesThatFormACircle) {
  IngestWorld w({}, 8);
  w.Store("a", {.hashes = {101, 101}, .tokens = Tokens(1, 4), .block = 2});
  w.Store("a", {.hashes = {102}, .parent = 101, .tokens = Tokens(5, 6), .block = 2});
  w.Store("a", {.hashes = {104}, .parent = 104, .tokens = Tokens(5, 6), .block = 2});
  EXPECT_TRUE(w.Scores(Tokens(1, 8)).empty());
}

TEST(Digest, FindsAdaptersBySaltAndByImage) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102},
                .tokens = Tokens(1, 8),
                .lora = "ad",
                .extra = Texts({{"ad"}, {"ad"}})});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8), "ad"), 2);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8), "m", {.lora = wire::PromptExtras::Lora{"ad", "/p"}}), 2);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 0);
  w.Store("b", {.hashes = {201, 202}, .tokens = Tokens(1, 8), .extra = Texts({{"salt"}, {}})});
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8)), 0);
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8), "m", {.salt = "salt"}), 2);
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 8), "m", {.salt = "other"}), 0);
  w.Store("c", {.hashes = {301, 302}, .tokens = Tokens(1, 8), .extra = Texts({{}, {"img"}})});
  EXPECT_EQ(w.ScoreOf("c", Tokens(1, 8)), 1);
  EXPECT_EQ(w.ScoreOf("c", Tokens(1, 8), "m", {.mm = {{"img", 5, 2}}}), 2);
  w.Store("d", {.hashes = {401}, .tokens = Tokens(1, 4), .extra = "\x05"});
  EXPECT_EQ(w.counters("d").bad, 1u);
}

TEST(Digest, FindsASaltAlsoWhereAnEngineBlockCoversSeveralKeys) {
  IngestWorld w;
  const std::string salted = Texts({{"salt"}, {}});
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 16), .block = 8, .extra = salted});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16), "m", {.salt = "salt"}), 4);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16), "m", {.salt = "other"}), 0);
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 0);
  // Behind a parent a text is no salt, and marks the whole of its block.
  w.Store("b", {.hashes = {201}, .tokens = Tokens(1, 8), .block = 8});
  w.Store("b", {.hashes = {202},
                .parent = 201,
                .tokens = Tokens(9, 16),
                .block = 8,
                .extra = Texts({{"img"}})});
  EXPECT_EQ(w.ScoreOf("b", Tokens(1, 16), "m", {.mm = {{"img", 8, 8}}}), 4);
}

TEST(Digest, GivesAnEngineAtOddsWithOthersEngineKeysOfItsOwn) {
  IngestWorld w;
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Store("b", {.hashes = {101, 102}, .tokens = Tokens(33, 40)});
  EXPECT_EQ(w.digest.at_odds(), 1u);
  w.Remove("a", {.hashes = {101, 102}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 8)), 0);
  EXPECT_EQ(w.ScoreOf("b", Tokens(33, 40)), 2);
  w.Store("b", {.hashes = {103}, .parent = 102, .tokens = Tokens(41, 44)});
  EXPECT_EQ(w.ScoreOf("b", Tokens(33, 44)), 3);
  w.Store("node", {.hashes = {101, 102}, .medium = "cpu"});
  w.Remove("b", {.hashes = {101}});
  EXPECT_EQ(w.ScoreOf("b", Tokens(33, 44)), 0);
}

TEST(Digest, EndsSpeculativeEntriesByTheRealEventOrByTime) {
  IngestWorld w;
  const PodId pod = w.FeedOf("a").pod;
  std::vector<RequestKey> keys;
  ASSERT_TRUE(w.keys->PromptKeys("m", {}, Tokens(1, 16), &keys));
  ASSERT_TRUE(w.intents.Add(pod, 0, keys, w.now, seconds(5)));
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 4);
  w.Store("a", {.hashes = {101, 102}, .tokens = Tokens(1, 8)});
  w.Remove("a", {.hashes = {102}});
  EXPECT_EQ(w.ScoreOf("a", Tokens(1, 16)), 1);  // confirmed: only the pod's own word counts
  ASSERT_TRUE(w.intents.Add(pod, 0, std::span(keys).last(1), w.now, seconds(9)));
  w.digest.Tick(w.now + seconds(5));
  EXPECT_EQ(w.intents.size(), 1u);
  EXPECT_EQ(w.intents.expired(), 1u);
  w.digest.Tick(w.now + seconds(9));
  EXPECT_EQ(w.intents.size(), 0u);
  ASSERT_TRUE(w.intents.Add(pod, 0, keys, w.now, seconds(5)));
  w.Clear("a");
  EXPECT_TRUE(w.Scores(Tokens(1, 16)).empty());
  w.digest.Tick(w.now + seconds(20));
  EXPECT_EQ(w.intents.size(), 0u);
  EXPECT_EQ(w.intents.Add(pod, 0, std::vector<RequestKey>(1001, 1), w.now, seconds(1)).error().code,
            Errc::kLimit);
}

}  // namespace
}  // namespace headrace::indexer
