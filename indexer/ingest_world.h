// What tests of ingest share: an index, a digest over it, and events said in a line. One thread.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "indexer/ingest.h"
#include "indexer/model_index.h"
#include "wire/msgpack.h"

namespace headrace::indexer {

struct Say {
  std::vector<uint64_t> hashes;
  uint64_t parent = 0;
  std::vector<uint32_t> tokens;
  uint32_t block = 4;
  std::string medium;
  std::string lora;
  std::string extra;  // msgpack
  int group = -1;
  std::string kind;
  uint32_t window = 0;
  std::vector<uint32_t> remaining;
  std::optional<std::vector<std::string>> pods;
  std::string pods_model;
};

inline std::vector<uint32_t> Tokens(uint32_t first, uint32_t last) {
  std::vector<uint32_t> tokens;
  for (uint32_t t = first; t <= last; ++t) tokens.push_back(t);
  return tokens;
}

class IngestWorld {
 public:
  explicit IngestWorld(const DigestLimits& limits = {}, uint32_t block_tokens = 4,
                       ShardShare* share = nullptr)
      : pods(&index),
        keys(std::move(
            *IngestKeys::Create({.algo = wire::HashAlgo::kLlmdD, .block_tokens = block_tokens}))),
        intents(&index, &pods, 1000),
        digest({&index, &pods, keys.get(), &tiers, &intents, share}, limits) {
    pods.OnServed([this](PodId node, std::span<const PodId> list) {
      index.served[node] = {list.begin(), list.end()};
    });
  }

  Feed& FeedOf(const std::string& pod, const std::string& model = "m") {
    auto& feed = feeds[{pod, model}];
    if (feed.pod == kNoPod) feed = *digest.Open(pod, model);
    return feed;
  }

  Status Tell(const std::string& pod, wire::EventType type, const Say& say, int rank = -1,
              const std::string& model = "m") {
    wire::Event event;
    event.type = type;
    event.hashes = say.hashes;
    if (say.parent != 0) event.parent = say.parent;
    event.tokens = say.tokens;
    event.block_size = say.block;
    event.medium = say.medium;
    event.lora_name = say.lora;
    event.extra_keys = {reinterpret_cast<const uint8_t*>(say.extra.data()), say.extra.size()};
    event.group = say.group;
    event.spec_kind = say.kind;
    event.sliding_window = say.window;
    event.remaining_copies = say.remaining;
    const std::string packed = say.pods ? wire::PackEventPods(*say.pods) : "";
    event.pods = {reinterpret_cast<const uint8_t*>(packed.data()), packed.size()};
    event.pods_model = say.pods_model;
    wire::EventBatch batch;
    batch.rank = rank;
    batch.events = {&event, 1};
    return digest.Apply(&FeedOf(pod, model), batch, now);
  }
  void Store(const std::string& pod, const Say& say) {
    ASSERT_TRUE(Tell(pod, wire::EventType::kStored, say));
  }
  void Remove(const std::string& pod, const Say& say) {
    ASSERT_TRUE(Tell(pod, wire::EventType::kRemoved, say));
  }
  void Clear(const std::string& pod) { ASSERT_TRUE(Tell(pod, wire::EventType::kCleared, {})); }

  // Scores by name, of members as of their pods.
  std::map<std::string, double> Scores(const std::vector<uint32_t>& tokens,
                                       const std::string& model = "m",
                                       const wire::PromptExtras& extras = {}) {
    std::vector<RequestKey> asked;
    EXPECT_TRUE(keys->PromptKeys(model, extras, tokens, &asked));
    std::map<PodId, std::vector<GroupSpec>> groups;
    for (PodId pod = 0; pod < pods.records(); ++pod) {
      const auto specs = pods.groups(pod);
      if (!specs.empty()) groups[pod].assign(specs.begin(), specs.end());
    }
    ScoreRequest request;
    request.keys = asked;
    request.key_tokens = keys->block_tokens();
    auto scores = index.Score(request, tiers, groups);
    pods.Fold(&scores);
    std::map<std::string, double> named;
    for (const PodScore& score : scores) named[pods.name(score.pod)] = score.score;
    return named;
  }
  double ScoreOf(const std::string& pod, const std::vector<uint32_t>& tokens,
                 const std::string& model = "m", const wire::PromptExtras& extras = {}) {
    const auto scores = Scores(tokens, model, extras);
    const auto found = scores.find(pod);
    return found == scores.end() ? 0 : found->second;
  }
  PodCounters& counters(const std::string& pod) { return pods.counters(FeedOf(pod).pod); }

  ModelIndex index;
  PodTable pods;
  TierTable tiers;
  std::unique_ptr<IngestKeys> keys;
  PodIntents intents;
  Digest digest;
  std::map<std::pair<std::string, std::string>, Feed> feeds;
  Time now = Time(seconds(1000));
};

}  // namespace headrace::indexer
