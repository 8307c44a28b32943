#include "sim/latency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::sim {

namespace {

using namespace std::chrono_literals;

constexpr int kSamples = 20000;

struct Drawn {
  double mean_ns = 0, deviation_ns = 0;
  Duration lowest{}, highest{};
};

template <typename Draw>
Drawn DrawMany(const Draw& draw) {
  std::vector<double> samples;
  Drawn drawn{.lowest = Duration::max()};
  for (int i = 0; i < kSamples; ++i) {
    const Duration sample = draw();
    drawn.lowest = std::min(drawn.lowest, sample);
    drawn.highest = std::max(drawn.highest, sample);
    samples.push_back(static_cast<double>(sample.count()));
    drawn.mean_ns += samples.back() / kSamples;
  }
  for (const double sample : samples) {
    drawn.deviation_ns += (sample - drawn.mean_ns) * (sample - drawn.mean_ns) / kSamples;
  }
  drawn.deviation_ns = std::sqrt(drawn.deviation_ns);
  return drawn;
}

TEST(LatencyModel, KeepsWhatIsShorterThanAMillisecond) {
  LatencyModel model({.time_to_first_token = 1500ns, .inter_token_latency = 500us}, 4, 1);
  EXPECT_EQ(model.FirstToken({}, 1), 1500ns);
  EXPECT_EQ(model.NextToken(1), 500us);
}

TEST(LatencyModel, WithoutOptionsTakesNoTime) {
  LatencyModel model({}, 4, 1);
  EXPECT_EQ(model.FirstToken({.prompt_tokens = 1000}, 4), 0ns);
  EXPECT_EQ(model.FirstToken({.prompt_tokens = 1000, .remote = true}, 4), 0ns);
  EXPECT_EQ(model.NextToken(4), 0ns);
}

TEST(LatencyModel, GrowsWithTheRequestsThatRun) {
  LatencyModel model(
      {.time_to_first_token = 50ms, .inter_token_latency = 10ms, .time_factor_under_load = 3}, 5,
      1);
  EXPECT_EQ(model.FirstToken({}, 1), 50ms);
  EXPECT_EQ(model.FirstToken({}, 2), 75ms);
  EXPECT_EQ(model.FirstToken({}, 5), 150ms);
  EXPECT_EQ(model.NextToken(1), 10ms);
  EXPECT_EQ(model.NextToken(3), 20ms);
}

TEST(LatencyModel, OfOneSlotKnowsNoLoad) {
  LatencyModel model({.time_to_first_token = 50ms, .time_factor_under_load = 3}, 1, 1);
  EXPECT_EQ(model.FirstToken({}, 1), 50ms);
  EXPECT_EQ(model.FirstToken({}, 0), 50ms);
}

TEST(LatencyModel, CountsTheTokensThatAreNotCached) {
  LatencyModel model(
      {.prefill_overhead = 1ms, .prefill_time_per_token = 10us, .time_factor_under_load = 2}, 3, 1);
  EXPECT_EQ(model.FirstToken({.prompt_tokens = 100, .cached_tokens = 32}, 1), 1680us);
  EXPECT_EQ(model.FirstToken({.prompt_tokens = 100, .cached_tokens = 32}, 3), 3360us);
  EXPECT_EQ(model.FirstToken({.prompt_tokens = 100, .cached_tokens = 200}, 1), 1ms);
}

TEST(LatencyModel, PrefersAConstantThatIsSet) {
  const LatencyOptions both{.time_to_first_token = 5ms, .prefill_overhead = 1ms};
  EXPECT_EQ(LatencyModel(both, 1, 1).FirstToken({}, 1), 5ms);
  // A deviation alone chooses the constant too, whose mean is 0 then.
  const LatencyOptions deviation{.time_to_first_token_std_dev = 5ms, .prefill_overhead = 1ms};
  EXPECT_EQ(LatencyModel(deviation, 1, 1).FirstToken({}, 1), 0ms);
}

TEST(LatencyModel, TakesTheCalculatorThatIsAskedFor) {
  LatencyOptions options{.time_to_first_token = 5ms,
                         .kv_cache_transfer_latency = 7ms,
                         .prefill_overhead = 1ms,
                         .kv_cache_transfer_time_per_token = 1us};
  const PrefillWork remote{.prompt_tokens = 3, .remote = true};
  options.calculator = LatencyCalculator::kPerToken;
  EXPECT_EQ(LatencyModel(options, 1, 1).FirstToken({}, 1), 1ms);
  EXPECT_EQ(LatencyModel(options, 1, 1).FirstToken(remote, 1), 3us);
  options.time_to_first_token = options.kv_cache_transfer_latency = 0ms;
  options.calculator = LatencyCalculator::kConstant;
  EXPECT_EQ(LatencyModel(options, 1, 1).FirstToken({}, 1), 0ms);
  EXPECT_EQ(LatencyModel(options, 1, 1).FirstToken(remote, 1), 0ms);
}

TEST(LatencyModel, NeverScalesARemotePrefillByLoad) {
  LatencyOptions options{.time_to_first_token = 9ms,
                         .kv_cache_transfer_latency = 7ms,
                         .kv_cache_transfer_time_per_token = 20us,
                         .time_factor_under_load = 4};
  const PrefillWork work{.prompt_tokens = 50, .cached_tokens = 20, .remote = true};
  LatencyModel model(options, 8, 1);
  EXPECT_EQ(model.FirstToken(work, 8), 7ms);
  options.kv_cache_transfer_latency = 0ms;
  model.Set(options);
  EXPECT_EQ(model.FirstToken(work, 8), 1ms) << "all tokens of the prompt come from elsewhere";
}

TEST(LatencyModel, DrawsAroundTheMean) {
  LatencyModel model({.inter_token_latency = 1ms, .inter_token_latency_std_dev = 100us}, 4, 7);
  const Drawn drawn = DrawMany([&] { return model.NextToken(1); });
  EXPECT_NEAR(drawn.mean_ns, 1e6, 3e3);
  EXPECT_NEAR(drawn.deviation_ns, 1e5, 3e3);
  EXPECT_LT(drawn.lowest, 700us);
  EXPECT_GT(drawn.highest, 1300us);
}

TEST(LatencyModel, CutsSamplesFarFromTheMean) {
  LatencyModel model({.prefill_overhead = 1ms, .prefill_time_std_dev = 10ms}, 4, 7);
  const Drawn drawn = DrawMany([&] { return model.FirstToken({}, 1); });
  EXPECT_EQ(drawn.lowest, 300us);
  EXPECT_EQ(drawn.highest, 1700us);
  EXPECT_NEAR(drawn.mean_ns, 1e6, 2e4);
}

TEST(LatencyModel, EachKindHasItsOwnDeviation) {
  const LatencyOptions options{.time_to_first_token = 1ms,
                               .time_to_first_token_std_dev = 10us,
                               .kv_cache_transfer_latency = 1ms,
                               .kv_cache_transfer_latency_std_dev = 20us};
  LatencyModel model(options, 4, 7);
  const PrefillWork remote{.prompt_tokens = 1, .remote = true};
  EXPECT_NEAR(DrawMany([&] { return model.FirstToken({}, 1); }).deviation_ns, 1e4, 500);
  EXPECT_NEAR(DrawMany([&] { return model.FirstToken(remote, 1); }).deviation_ns, 2e4, 1e3);
  model.Set({.kv_cache_transfer_time_per_token = 1ms, .kv_cache_transfer_time_std_dev = 40us});
  EXPECT_NEAR(DrawMany([&] { return model.FirstToken(remote, 1); }).deviation_ns, 4e4, 2e3);
}

TEST(LatencyModel, GivesTheSameSamplesForTheSameSeed) {
  const LatencyOptions options{.inter_token_latency = 1s, .inter_token_latency_std_dev = 100ms};
  LatencyModel one(options, 4, 7), same(options, 4, 7), other(options, 4, 8);
  const Duration first = one.NextToken(1);
  EXPECT_EQ(same.NextToken(1), first);
  EXPECT_NE(other.NextToken(1), first);
}

TEST(LatencyModel, StaysFarFromTheEndOfTheClock) {
  LatencyModel model({.prefill_time_per_token = Duration::max()}, 4, 1);
  EXPECT_EQ(model.FirstToken({.prompt_tokens = UINT64_MAX}, 1), 365 * 24h);
}

}  // namespace

}  // namespace headrace::sim
