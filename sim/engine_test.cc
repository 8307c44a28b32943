#include "sim/engine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/kv_hash.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kBlockTokens = 4;

// Writes down what happens to its sequences, by their choice.
class Log final : public SequenceListener {
 public:
  uint32_t OnStart(uint32_t choice, uint64_t cached_tokens) override {
    cached[choice] = cached_tokens;
    started.push_back(choice);
    return tokens;
  }
  void OnToken(uint32_t choice, uint32_t token) override {
    EXPECT_EQ(token, told[choice].size());
    told[choice].push_back(now);
  }
  void OnDone(uint32_t choice) override { done.push_back(choice); }
  void OnCacheThreshold(uint32_t choice) override { refused.push_back(choice); }

  uint32_t tokens = 3;
  Time now{};  // as the test has it
  std::map<uint32_t, uint64_t> cached;
  std::map<uint32_t, std::vector<Time>> told;
  std::vector<uint32_t> started, done, refused;
};

class EngineTest : public testing::Test {
 protected:
  void Make(uint32_t max_running, LatencyOptions latency = {}, uint32_t blocks = 0) {
    max_running_ = max_running;
    latency_ = std::make_unique<LatencyModel>(latency, max_running, 1);
    loras_ = std::make_unique<LoraTable>(1);
    metrics_ = std::make_unique<SimMetrics>(SimMetrics::Options{.model = "m"});
    if (blocks != 0) {
      cache_ = std::make_unique<KvCache>(
          KvCache::Options{.blocks = blocks, .block_tokens = kBlockTokens, .listener = nullptr});
    }
    engine_ = std::make_unique<Engine>(
        Engine::Options{.max_running = max_running, .max_waiting = 4, .block_tokens = kBlockTokens},
        Engine::Parts{latency_.get(), loras_.get(), metrics_.get(), cache_.get()}, Time{});
  }
  Engine::SequenceId Submit(uint32_t choice, const std::string& lora = "") {
    return engine_->Submit({.listener = &log_, .choice = choice, .prompt = prompt_, .lora = lora},
                           log_.now);
  }
  Engine::SequenceId SubmitBlocks(uint32_t choice, const KvBlocks& blocks, double threshold = 0) {
    return engine_->Submit({.listener = &log_,
                            .choice = choice,
                            .prompt = prompt_,
                            .hashes = blocks.hashes,
                            .extras = blocks.extras,
                            .cache_hit_threshold = threshold},
                           log_.now);
  }
  KvBlocks Hash(uint32_t first_token, uint32_t blocks) {
    prompt_.assign(blocks * kBlockTokens, first_token);
    auto hasher = std::move(*KvHasher::Create(
        {.algo = wire::HashAlgo::kLlmdD, .model = "m", .block_tokens = kBlockTokens}));
    KvBlocks made;
    hasher->Hash({.tokens = prompt_, .media = {}, .lora_name = "", .lora_path = ""}, &made);
    return made;
  }
  void Pass(Duration time) {
    log_.now += time;
    engine_->Expire(log_.now);
  }
  // Exactly to each moment at which something is due.
  void PassAll() {
    while (const auto next = engine_->Next()) {
      log_.now = std::max(log_.now, *next);
      engine_->Expire(log_.now);
    }
  }
  std::string Metric(const std::string& name) {
    const std::string text = metrics_->Scrape();
    const size_t at = text.find("\n" + name);
    return at == std::string::npos ? "" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  }

  uint32_t max_running_ = 0;
  std::vector<uint32_t> prompt_ = std::vector<uint32_t>(10, 7);
  Log log_;
  std::unique_ptr<LatencyModel> latency_;
  std::unique_ptr<LoraTable> loras_;
  std::unique_ptr<SimMetrics> metrics_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, AnswersAtOnceWithoutLatencies) {
  Make(1);
  Submit(0);
  EXPECT_EQ(log_.told[0].size(), 3u);
  EXPECT_EQ(log_.done, std::vector<uint32_t>{0});
  EXPECT_EQ(engine_->running(), 0u);
  EXPECT_FALSE(engine_->Next());
}

TEST_F(EngineTest, TokensAreDueByThePlanHoweverLateItIs) {
  Make(1, {.time_to_first_token = milliseconds(100), .inter_token_latency = microseconds(500)});
  Submit(0);
  EXPECT_TRUE(log_.told[0].empty());
  EXPECT_EQ(*engine_->Next(), Time(milliseconds(100)));
  Pass(milliseconds(100) + microseconds(400));  // late by 400 us
  EXPECT_EQ(log_.told[0].size(), 1u);
  EXPECT_EQ(*engine_->Next(), Time(milliseconds(100) + microseconds(500)));
  Pass(microseconds(600));  // the second and the third are due
  EXPECT_EQ(log_.told[0].size(), 3u);
  EXPECT_EQ(log_.done, std::vector<uint32_t>{0});
}

TEST_F(EngineTest, AnswerWithoutTokensEndsAfterItsPrefill) {
  Make(1, {.time_to_first_token = milliseconds(5)});
  log_.tokens = 0;
  Submit(0);
  EXPECT_TRUE(log_.done.empty());
  Pass(milliseconds(5));
  EXPECT_EQ(log_.done, std::vector<uint32_t>{0});
  EXPECT_TRUE(log_.told[0].empty());
}

TEST_F(EngineTest, OthersWaitInLineForASlot) {
  Make(2, {.time_to_first_token = milliseconds(10)});
  for (uint32_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(engine_->HasRoom(1));
    Submit(i);
  }
  EXPECT_FALSE(engine_->HasRoom(1));  // two run, four wait
  EXPECT_EQ(engine_->waiting(), 4u);
  EXPECT_EQ(Metric("vllm:num_requests_waiting"), "vllm:num_requests_waiting{model_name=\"m\"} 4");
  EXPECT_EQ(Metric("vllm:num_requests_running"), "vllm:num_requests_running{model_name=\"m\"} 2");
  EXPECT_EQ(log_.started, (std::vector<uint32_t>{0, 1}));
  Pass(milliseconds(10));
  EXPECT_EQ(log_.started, (std::vector<uint32_t>{0, 1, 2, 3}));
  PassAll();
  EXPECT_EQ(log_.done, (std::vector<uint32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(Metric("vllm:num_requests_waiting"), "vllm:num_requests_waiting{model_name=\"m\"} 0");
  EXPECT_EQ(Metric("vllm:num_requests_running"), "vllm:num_requests_running{model_name=\"m\"} 0");
}

TEST_F(EngineTest, HasRoomForWhatRunsAndWhatWaits) {
  Make(2, {.time_to_first_token = milliseconds(10)});
  EXPECT_TRUE(engine_->HasRoom(6));
  EXPECT_FALSE(engine_->HasRoom(7));
  Submit(0);
  EXPECT_TRUE(engine_->HasRoom(5));
  EXPECT_FALSE(engine_->HasRoom(6));
}

TEST_F(EngineTest, LoadOfAllThatRunSlowsEach) {
  // One alone runs at the planned speed, the first of two as well: it was alone when it began.
  Make(2, {.time_to_first_token = milliseconds(10), .time_factor_under_load = 3});
  log_.tokens = 1;
  Submit(0);
  Submit(1);
  PassAll();
  EXPECT_EQ(log_.told[0][0], Time(milliseconds(10)));
  EXPECT_EQ(log_.told[1][0], Time(milliseconds(30)));
}

TEST_F(EngineTest, CancelFreesTheSlotAtOnce) {
  Make(1, {.time_to_first_token = milliseconds(10)});
  const auto first = Submit(0);
  const auto second = Submit(1);
  Submit(2);
  EXPECT_TRUE(engine_->Cancel(second, log_.now));  // of one that waits
  EXPECT_EQ(engine_->waiting(), 1u);
  EXPECT_TRUE(engine_->Cancel(first, log_.now));
  EXPECT_EQ(log_.started, (std::vector<uint32_t>{0, 2}));
  EXPECT_FALSE(engine_->Cancel(first, log_.now));
  PassAll();
  EXPECT_EQ(log_.done, std::vector<uint32_t>{2});
}

TEST_F(EngineTest, NobodyWaitsForEverBehindThoseWithoutAnAdapter) {
  Make(1, {.time_to_first_token = milliseconds(10)});
  loras_->Load({.name = "a", .path = "p"});
  Submit(0);
  Submit(1, "a");
  for (uint32_t i = 2; i < 6; ++i) {  // one comes with each that goes
    Submit(i);
    Pass(milliseconds(10));
  }
  EXPECT_EQ(log_.started, (std::vector<uint32_t>{0, 1, 2, 3, 4}));
}

TEST_F(EngineTest, WhoseAdapterHasNoSlotLetsOthersGoFirst) {
  Make(2, {.time_to_first_token = milliseconds(10)});
  for (const char* name : {"a", "b"}) loras_->Load({.name = name, .path = "p"});
  Submit(0, "a");
  Submit(1, "b");  // one adapter runs at a time
  Submit(2, "a");
  EXPECT_EQ(log_.started, (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(engine_->waiting_loras(), std::vector<std::string>{"b"});
  Pass(milliseconds(10));
  EXPECT_EQ(log_.started, (std::vector<uint32_t>{0, 2, 1}));
  PassAll();
  EXPECT_EQ(log_.done.size(), 3u);
  EXPECT_TRUE(loras_->running().empty());
}

TEST_F(EngineTest, AdapterUnloadedInFlightGivesItsSlotBack) {
  Make(2, {.time_to_first_token = milliseconds(10)});
  for (const char* name : {"a", "b"}) loras_->Load({.name = name, .path = "p"});
  Submit(0, "a");
  loras_->Unload("a");
  Submit(1, "b");
  PassAll();
  EXPECT_EQ(log_.done, (std::vector<uint32_t>{0, 1}));
}

TEST_F(EngineTest, PrefixIsCachedWhenItsPrefillEnds) {
  Make(2, {.time_to_first_token = milliseconds(10)}, 8);
  const KvBlocks blocks = Hash(1, 4);
  SubmitBlocks(0, blocks);
  SubmitBlocks(1, blocks);  // beside it: nothing is there yet
  PassAll();
  SubmitBlocks(2, blocks);
  EXPECT_EQ(log_.cached[0], 0u);
  EXPECT_EQ(log_.cached[1], 0u);
  EXPECT_EQ(log_.cached[2], 16u);
  PassAll();
  EXPECT_EQ(cache_->used_blocks(), 0u);
  EXPECT_EQ(Metric("vllm:prefix_cache_hits_total"),
            "vllm:prefix_cache_hits_total{model_name=\"m\"} 16");
}

TEST_F(EngineTest, WaitsForBlocksThatOthersUse) {
  Make(3, {.time_to_first_token = milliseconds(10)}, 6);
  const KvBlocks first = Hash(1, 4), second = Hash(2, 4);
  SubmitBlocks(0, first);
  SubmitBlocks(1, second);  // 4 of 6 are in use
  EXPECT_EQ(log_.started, std::vector<uint32_t>{0});
  EXPECT_TRUE(engine_->Fits(6));
  EXPECT_FALSE(engine_->Fits(7));
  PassAll();
  EXPECT_EQ(log_.done, (std::vector<uint32_t>{0, 1}));
}

TEST_F(EngineTest, AnswersNothingBelowTheThreshold) {
  Make(2, {}, 8);
  const KvBlocks blocks = Hash(1, 4);
  SubmitBlocks(0, blocks, 0.5);
  EXPECT_EQ(log_.refused, std::vector<uint32_t>{0});
  EXPECT_EQ(cache_->kept_blocks(), 0u);
  SubmitBlocks(1, blocks);
  SubmitBlocks(2, blocks, 0.5);
  EXPECT_EQ(log_.done, (std::vector<uint32_t>{1, 2}));
}

TEST_F(EngineTest, TellsWhereTheTimeWent) {
  struct Times final : SequenceListener {
    uint32_t OnStart(uint32_t, uint64_t) override { return 2; }
    void OnToken(uint32_t, uint32_t) override {}
    void OnDone(uint32_t) override { times = engine->ended(); }
    void OnCacheThreshold(uint32_t) override {}
    Engine* engine = nullptr;
    SequenceTimes times;
  } listener;
  Make(1, {.time_to_first_token = milliseconds(10), .inter_token_latency = milliseconds(5)});
  listener.engine = engine_.get();
  log_.tokens = 1;
  Submit(0);
  Pass(milliseconds(4));
  engine_->Submit({.listener = &listener, .prompt = prompt_}, log_.now);
  PassAll();
  EXPECT_EQ(listener.times.arrived, Time(milliseconds(4)));
  EXPECT_EQ(listener.times.started, Time(milliseconds(10)));
  EXPECT_EQ(listener.times.first_token, Time(milliseconds(20)));
  EXPECT_EQ(listener.times.ended, Time(milliseconds(25)));
  EXPECT_EQ(listener.times.planned, milliseconds(15));
}

// Submits and cancels at random, in small steps: each sequence ends in one way, and in the end
// nothing is taken.
TEST_F(EngineTest, RandomHistoriesLeaveNothingBehind) {
  Make(3,
       {.time_to_first_token = milliseconds(3),
        .inter_token_latency = milliseconds(1),
        .inter_token_latency_std_dev = microseconds(200)},
       12);
  for (const char* name : {"a", "b"}) loras_->Load({.name = name, .path = "p"});
  Random random(5);
  std::vector<KvBlocks> prompts;
  for (uint32_t i = 0; i < 6; ++i) prompts.push_back(Hash(i, 1 + i));
  std::vector<Engine::SequenceId> ids;
  uint32_t submitted = 0, cancelled = 0, full = 0, waited = 0;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t what = random.Below(10);
    if (what < 3 && !engine_->HasRoom(1)) ++full;
    if (what < 3 && engine_->HasRoom(1)) {
      const auto& blocks = prompts[random.Below(prompts.size())];
      const char* const loras[] = {"", "a", "b"};
      ids.push_back(engine_->Submit({.listener = &log_,
                                     .choice = submitted,
                                     .prompt = prompt_,  // of the longest
                                     .hashes = blocks.hashes,
                                     .lora = loras[random.Below(3)]},
                                    log_.now));
      log_.told.erase(submitted++);
    } else if (what == 3 && !ids.empty()) {
      cancelled +=
          engine_->Cancel(ids[ids.size() - 1 - random.Below(std::min<size_t>(ids.size(), 6))],
                          log_.now)
              ? 1
              : 0;
    } else {
      Pass(microseconds(random.Below(1500)));
    }
    waited += engine_->waiting() > 0 ? 1 : 0;
    ASSERT_LE(engine_->running(), 3u);
    ASSERT_LE(cache_->used_blocks(), 12u);
  }
  PassAll();
  EXPECT_EQ(log_.done.size() + cancelled, submitted);
  EXPECT_EQ(engine_->running() + engine_->waiting(), 0u);
  EXPECT_EQ(cache_->used_blocks(), 0u);
  EXPECT_TRUE(loras_->running().empty());
  EXPECT_GT(cancelled, 100u);
  EXPECT_GT(full, 100u);
  EXPECT_GT(waited, 1000u);
}

}  // namespace
}  // namespace headrace::sim
