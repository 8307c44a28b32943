#include "indexer/replica_place.h"

#include <gtest/gtest.h>

#include <set>

#include "indexer/score_text.h"

namespace headrace::indexer {
namespace {

std::vector<std::string> All() {
  return {"10.0.0.1:9091", "10.0.0.2:9091", "[::1]:9091"};
}

ReplicaPlace Made(const ReplicaPlace::Config& config) {
  std::string message;
  auto place = ReplicaPlace::Create(config, &message);
  HR_CHECK(place.has_value());
  EXPECT_EQ(message, "");
  return std::move(*place);
}

TEST(ReplicaPlace, AloneAnswersEverything) {
  for (const ReplicaPlace& place : {ReplicaPlace(), Made({})}) {
    EXPECT_EQ(place.split(), nullptr);
    EXPECT_EQ(place.Elsewhere(std::vector<uint64_t>{1, 2, 3, 4, 5}), nullptr);
  }
}

TEST(ReplicaPlace, WholeReplicasAnswerEverything) {
  const std::vector<std::string> all = All();
  const ReplicaPlace place = Made({.all = all, .self = all[1], .first_blocks = 0});
  EXPECT_EQ(place.split(), nullptr);
  for (uint64_t key = 0; key < 20; ++key) {
    EXPECT_EQ(place.Elsewhere(std::vector<uint64_t>(8, key)), nullptr);
  }
}

TEST(ReplicaPlace, OneOfThemHasAPromptAndTheOthersNameIt) {
  const std::vector<std::string> all = All();
  std::set<std::string> owners;
  for (uint64_t key = 0; key < 50; ++key) {
    const std::vector<uint64_t> keys = {1, 2, key, 4};
    std::string named;
    int at_home = 0;
    for (const std::string& self : all) {
      const ReplicaPlace place = Made({.all = all, .self = self, .first_blocks = 3});
      EXPECT_EQ(place.split()->name(place.self()), self);
      const std::string* elsewhere = place.Elsewhere(keys);
      const std::string owner = elsewhere == nullptr ? self : *elsewhere;
      at_home += elsewhere == nullptr ? 1 : 0;
      EXPECT_TRUE(named.empty() || named == owner);
      named = owner;
      // The stem is everybody's, the block behind it decides alone.
      EXPECT_EQ(place.Elsewhere(std::span(keys).first(2)), nullptr);
      EXPECT_EQ(place.Elsewhere({}), nullptr);
      EXPECT_EQ(place.Elsewhere(std::span(keys).first(3)) == nullptr, elsewhere == nullptr);
    }
    EXPECT_EQ(at_home, 1);
    owners.insert(named);
  }
  EXPECT_EQ(owners.size(), all.size());
}

TEST(ReplicaPlace, TellsClientsWhatTheyRead) {
  const std::vector<std::string> all = All();
  const wire::HasherOptions hash{
      .algo = wire::HashAlgo::kLlmdD, .seed = "s\"1", .model = "", .block_tokens = 64};
  const ReplicaPlace place = Made({.all = all, .self = all[2], .first_blocks = 5});
  const std::string body = place.ListBody(hash);
  EXPECT_EQ(body,
            "{\"replicas\":[\"10.0.0.1:9091\",\"10.0.0.2:9091\",\"[::1]:9091\"],"
            "\"replica\":\"[::1]:9091\",\"shardBlocks\":5,"
            "\"hash\":{\"algorithm\":\"llmd-d\",\"seed\":\"s\\\"1\",\"blockTokens\":64}}\n");
  const auto read = ParseReplicaList(body);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->addresses, all);
  EXPECT_EQ(read->first_blocks, 5u);
  EXPECT_EQ(read->hash.algo, hash.algo);
  EXPECT_EQ(read->hash.seed, hash.seed);
  EXPECT_EQ(read->hash.block_tokens, hash.block_tokens);
  const auto alone = ParseReplicaList(ReplicaPlace().ListBody({}));
  ASSERT_TRUE(alone);
  EXPECT_TRUE(alone->addresses.empty());
  EXPECT_EQ(alone->first_blocks, 0u);
  const auto moved = ParseOtherReplicas(MovedBody(all[0]));
  ASSERT_TRUE(moved);
  EXPECT_EQ(*moved, std::vector<std::string>{all[0]});
}

TEST(ReplicaPlace, RefusalNamesTheKey) {
  const std::vector<std::string> all = All();
  const std::pair<ReplicaPlace::Config, const char*> cases[] = {
      {{.all = {}, .self = all[0]}, "replica: needs replicas, the list of all"},
      {{.all = {}, .self = "", .first_blocks = 4},
       "shardBlocks: needs replicas, who share the index"},
      {{.all = all, .self = ""}, "replica: is missing: which of replicas this one is"},
      {{.all = all, .self = "10.0.0.9:9091"},
       "replica: \"10.0.0.9:9091\" does not stand in replicas"},
      {{.all = {all[0], "x"}, .self = all[0]},
       "replicas[1]: \"x\" is not HOST:PORT; write for example 10.0.0.1:9091"},
      {{.all = {"a\r\n:1"}, .self = "a\r\n:1"},
       "replicas[0]: \"a\r\n:1\" is not HOST:PORT; write for example 10.0.0.1:9091"},
      {{.all = {"a:0"}, .self = "a:0"},
       "replicas[0]: \"a:0\" is not HOST:PORT; write for example 10.0.0.1:9091"},
      {{.all = {all[0], all[0]}, .self = all[0]}, "replicas: an index replica is named twice"},
  };
  for (const auto& [config, refusal] : cases) {
    std::string message;
    EXPECT_FALSE(ReplicaPlace::Create(config, &message)) << refusal;
    EXPECT_EQ(message, refusal);
  }
}

}  // namespace
}  // namespace headrace::indexer
