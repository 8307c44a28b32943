#include "bench/redis_bench.h"

#include <fmt/format.h>
#include <time.h>

#include <cstring>
#include <vector>

#include "base/random.h"
#include "bench/report.h"
#include "indexer/redis_index.h"
#include "net/redis_rig.h"

namespace headrace::bench {
namespace {

using indexer::RemoteHolder;
using indexer::RemoteIndex;

constexpr uint64_t kPods = 8;
constexpr uint64_t kEventKeys = 16;
constexpr uint64_t kEvents = 2000;  // of a pod
constexpr uint64_t kScoreKeys = 512;
constexpr int kScores = 400;
constexpr int kRuns = 3;

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

double ProcessCpu() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// What one phase took, of this process and on the clock.
struct Took {
  double wall = 0, cpu = 0, redis_cpu = 0;
  uint64_t trips = 0;
};

class Bench {
 public:
  Bench() : loop_(std::move(*Loop::Create())) {
    indexer::RedisIndexOptions options;
    options.redis = net::OptionsFor(redis_.url());
    options.sweep.every = Duration(0);
    options.limits.max_queued_keys = 1 << 24;
    std::string message;
    auto index = indexer::CreateRedisIndex(loop_.get(), options, &message);
    HR_CHECK(index.has_value());
    index_ = std::move(*index);
    HR_CHECK(RunUntil(loop_.get(), [this] { return index_->available(); }));
    for (uint64_t i = 0; i < kEvents * kEventKeys; ++i) {
      keys_.push_back(MixBits(i + 1));
      engine_.push_back(MixBits(i + (1ull << 40)));
    }
  }

  Took Write(bool add) {
    return Measure([&] {
      for (uint64_t event = 0; event < kEvents; ++event) {
        for (uint64_t pod = 0; pod < kPods; ++pod) Say(add, Holder(pod), event * kEventKeys);
      }
      for (uint64_t pod = 0; pod < kPods; ++pod) {
        bool written = false;
        index_->Flush(Holder(pod).pod, [&](const Status& status) {
          HR_CHECK(status.has_value());
          written = true;
        });
        HR_CHECK(RunUntil(loop_.get(), [&] { return written; }));
      }
    });
  }
  // One after another: a router asks and waits.
  Took Score() {
    return Measure([&] {
      for (int i = 0; i < kScores; ++i) {
        const uint64_t first = static_cast<uint64_t>(i) * 64 % (keys_.size() - kScoreKeys);
        indexer::RemoteScoreRequest request;
        request.keys.assign(keys_.begin() + static_cast<ptrdiff_t>(first),
                            keys_.begin() + static_cast<ptrdiff_t>(first + kScoreKeys));
        size_t pods = 0;
        index_->Score(std::move(request),
                      [&](const Result<std::vector<indexer::RemoteScore>>& scores) {
                        HR_CHECK(scores.has_value());
                        HR_CHECK(scores->size() == kPods && (*scores)[0].blocks == kScoreKeys);
                        pods = scores->size();
                      });
        HR_CHECK(RunUntil(loop_.get(), [&] { return pods != 0; }));
      }
    });
  }
  double BytesPerBlock() const {
    return Number(redis_.Ask({"INFO", "memory"}), "used_memory:") /
           static_cast<double>(keys_.size());
  }

 private:
  static RemoteHolder Holder(uint64_t pod) {
    return {fmt::format("10.0.0.{}:8000", pod), "gpu", -1, false};
  }
  void Say(bool add, const RemoteHolder& holder, uint64_t first) {
    const auto engine = std::span(engine_).subspan(first, kEventKeys);
    if (add) {
      index_->Add(holder, engine, std::span(keys_).subspan(first, kEventKeys));
    } else {
      index_->Remove(holder, engine);
    }
  }
  template <typename Work>
  Took Measure(const Work& work) {
    const uint64_t trips = index_->stats().round_trips;
    const Time begin = MonotonicNow();
    const double cpu = ProcessCpu();
    const double redis_cpu = RedisCpu();
    work();
    return {Seconds(MonotonicNow() - begin), ProcessCpu() - cpu, RedisCpu() - redis_cpu,
            index_->stats().round_trips - trips};
  }
  double RedisCpu() const {
    const std::string info = redis_.Ask({"INFO", "cpu"});
    return Number(info, "used_cpu_sys:") + Number(info, "used_cpu_user:");
  }
  static double Number(const std::string& info, const char* name) {
    const size_t at = info.find(name);
    HR_CHECK(at != std::string::npos);
    return std::stod(info.substr(at + std::strlen(name)));
  }

  const net::TestRedis redis_;
  const std::unique_ptr<Loop> loop_;
  std::unique_ptr<RemoteIndex> index_;
  std::vector<uint64_t> keys_, engine_;
};

// `calls` of a phase, each of `keys` keys.
void Report(const char* name, const std::vector<Took>& runs, double calls, double keys) {
  std::vector<double> rates, cpus, redis_cpus;
  for (const Took& took : runs) {
    rates.push_back(calls / took.wall);
    cpus.push_back(took.cpu / calls * 1e6);
    redis_cpus.push_back(took.redis_cpu / calls * 1e6);
  }
  Figure figure;
  figure.name = name;
  figure.value = Median(rates);
  figure.unit = "1/s";
  figure.runs = static_cast<int>(runs.size());
  figure.spread = Spread(rates);
  figure.how = fmt::format(
      "calls of {:.0f} keys a second, 8 pods, redis-server on loopback; {:.0f} keys/s, "
      "{:.3f} round trips a call; CPU a call: {:.1f} us here, {:.1f} us in Redis",
      keys, Median(rates) * keys, static_cast<double>(runs.back().trips) / calls, Median(cpus),
      Median(redis_cpus));
  Print(figure);
}

}  // namespace

void RunRedisBench() {
  if (net::FindRedisServer().empty()) {
    Progress("index.redis: no redis-server is here; scripts/install_deps.sh test installs it");
    return;
  }
  Bench bench;
  std::vector<Took> adds, scores, evicts;
  for (int run = 0; run < kRuns; ++run) {
    adds.push_back(bench.Write(true));
    if (run == 0) {
      Progress(fmt::format("redis: {:.0f} bytes a block with {} holders and an engine key",
                           bench.BytesPerBlock(), kPods));
    }
    scores.push_back(bench.Score());
    evicts.push_back(bench.Write(false));
  }
  constexpr auto kCalls = static_cast<double>(kEvents * kPods);
  Report("index.redis.add", adds, kCalls, kEventKeys);
  Report("index.redis.score", scores, kScores, kScoreKeys);
  Report("index.redis.evict", evicts, kCalls, kEventKeys);
}

}  // namespace headrace::bench
