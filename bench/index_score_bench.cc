#include "bench/index_score_bench.h"

#include <cstdio>

#include "bench/hash_bench.h"
#include "bench/index_world.h"
#include "bench/report.h"
#include "wire/hash.h"

namespace headrace::bench {
namespace {

using indexer::PodScore;
using indexer::RequestKey;

constexpr size_t kPromptBlocks = 512;
constexpr size_t kPromptTokens = 8192;
constexpr uint32_t kVocabulary = 128000;
constexpr int kPrompts = 160;
constexpr int kAtOnce = 16;  // prompts between two times that the caches are emptied

struct Prompt {
  std::vector<RequestKey> keys;
  std::vector<uint32_t> pods;
  std::vector<uint32_t> tokens;  // where they were hashed
};

// Prompts of their own for each figure, so that none is in a cache yet.
class Scores {
 public:
  explicit Scores(IndexWorld* world) : world_(world), scorer_(&world->index(), &world->tiers()) {}

  // Pod p of the prompt's pods holds all of it, or (p + 1) / pods of it.
  Prompt Store(size_t pods, bool linear, std::vector<RequestKey> keys) {
    Prompt prompt;
    prompt.keys = std::move(keys);
    prompt.pods = world_->RandomPods(pods);
    for (size_t p = 0; p < pods; ++p) {
      const size_t held = linear ? (p + 1) * kPromptBlocks / pods : kPromptBlocks;
      world_->Store(prompt.pods[p], {prompt.keys.data(), held});
    }
    return prompt;
  }
  std::vector<Prompt> StoreMany(size_t pods, bool linear) {
    std::vector<Prompt> prompts;
    for (int i = 0; i < kPrompts; ++i) {
      prompts.push_back(Store(pods, linear, world_->RandomKeys(kPromptBlocks)));
    }
    return prompts;
  }

  // CPU of each one. `find` makes the keys, or passes them on.
  template <typename Find>
  std::vector<double> Measure(const std::vector<Prompt>& prompts, bool filter, Find find) {
    std::vector<double> micros;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Prompt& prompt = prompts[i];
      if (i % kAtOnce == 0) caches_.Empty();
      // They came with a request just now: they are in the caches.
      const std::vector<RequestKey> received = prompt.keys;
      const std::vector<uint32_t> tokens = prompt.tokens;
      const double start = CpuMicros();
      indexer::ScoreRequest request;
      request.keys = find(tokens, received);
      request.filter = filter;
      if (filter) request.pods = prompt.pods;
      scorer_.Score(request, &scores_);
      micros.push_back(CpuMicros() - start);
      HR_CHECK(scores_.size() == prompt.pods.size() && scores_[0].blocks == kPromptBlocks);
    }
    return micros;
  }
  std::vector<double> Keys(const std::vector<Prompt>& prompts, bool filter) {
    return Measure(prompts, filter, [](const auto&, const std::vector<RequestKey>& keys) {
      return std::span<const RequestKey>(keys);
    });
  }

  void KeysFigure(size_t pods, double bar, double peer) {
    const std::string name = "index.score512.pods" + std::to_string(pods);
    const std::string with = std::to_string(pods) + " of 512 pods";
    const auto all = StoreMany(pods, false);
    const auto linear = StoreMany(pods, true);
    const auto plain = Keys(all, false);
    char text[400];
    std::snprintf(
        text, sizeof(text),
        "CPU of one score of 512 keys in an index of %llu blocks in chains of 64, %s hold "
        "all of them; each prompt once, caches emptied every %d; the bar is %.0f; "
        "nine of ten took less than %.1f; peer: Dynamo's tree, that holds nothing else",
        static_cast<unsigned long long>(world_->index().stats().blocks), with.c_str(), kAtOnce, bar,
        Quantile(plain, 0.9));
    Print({name, Median(plain), "us", 0, peer, 0, kPrompts, Spread(plain), text});
    const auto filtered = Keys(StoreMany(pods, false), true);
    Print({name + ".filter", Median(filtered), "us", 0, peer, 0, kPrompts, Spread(filtered),
           "the same with a filter that names the " + std::to_string(pods) + " pods"});
    const auto sloped = Keys(linear, false);
    Print({name + ".linear", Median(sloped), "us", 0, peer, 0, kPrompts, Spread(sloped),
           "the same where pod p of " + std::to_string(pods) + " holds (p + 1) / " +
               std::to_string(pods) + " of the prompt"});
  }

  void TokensFigure(const char* name, wire::HashAlgo algo, double more) {
    wire::HasherOptions options;
    options.algo = algo;
    options.seed = "0";
    options.model = "m";
    const auto hasher = wire::BlockHasher::Create(options);
    HR_CHECK(hasher.has_value());
    std::vector<Prompt> prompts;
    for (int i = 0; i < kPrompts; ++i) {
      std::vector<uint32_t> tokens(kPromptTokens);
      for (uint32_t& token : tokens) {
        token = static_cast<uint32_t>(world_->random().Below(kVocabulary));
      }
      std::vector<RequestKey> keys;
      (*hasher)->Keys(tokens, {}, &keys);
      prompts.push_back(Store(64, false, std::move(keys)));
      prompts.back().tokens = std::move(tokens);
    }
    const auto bare = Keys(prompts, false);
    std::vector<RequestKey> keys;
    const auto micros =
        Measure(prompts, false, [&](const std::vector<uint32_t>& tokens, const auto&) {
          (*hasher)->Keys(tokens, {}, &keys);
          return std::span<const RequestKey>(keys);
        });
    char text[320];
    std::snprintf(
        text, sizeof(text),
        "CPU from 8192 tokens (ids uniform below 128 000) to the scores of 64 of 512 pods "
        "that hold all, cold; %.1f of it is the score from keys; the bar is "
        "%.0f us more than that",
        Median(bare), more);
    Figure figure{name, Median(micros), "us"};
    figure.runs = kPrompts;
    figure.spread = Spread(micros);
    figure.how = text;
    if (algo == wire::HashAlgo::kLlmdD) {
      const uint64_t root = wire::BlockHasher::Low64((*hasher)->root());
      std::vector<double> loops;
      for (const Prompt& prompt : prompts) {
        const double start = CpuMicros();
        const uint64_t last = BareFnvChain(root, prompt.tokens, 16);
        loops.push_back(CpuMicros() - start);
        HR_CHECK(last == prompt.keys.back());
      }
      figure.limit = Median(loops);
      figure.how += "; limit is the plain FNV loop alone";
    }
    Print(figure);
  }

 private:
  IndexWorld* const world_;
  indexer::Scorer scorer_;
  std::vector<PodScore> scores_;
  ColdCaches caches_;
};

}  // namespace

void RunIndexScores(const IndexOptions& options) {
  Progress("scores in a filled index");
  IndexWorld world(20);
  world.Fill(options.blocks(), 8);
  Scores scores(&world);
  scores.KeysFigure(8, 20, options.peer_score8);
  scores.KeysFigure(64, 25, options.peer_score64);
  scores.KeysFigure(512, 30, options.peer_score512);
  scores.TokensFigure("index.score_tokens8k.fnv", wire::HashAlgo::kLlmdD, 50);
  scores.TokensFigure("index.score_tokens8k.xxh64", wire::HashAlgo::kXxh64, 15);
}

}  // namespace headrace::bench
