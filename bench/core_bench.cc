#include "bench/core_bench.h"

#include <sys/mman.h>
#include <time.h>

#include <cstring>
#include <deque>
#include <random>

#include "bench/report.h"
#include "engine/engine.h"
#include "engine/eviction_policy.h"

namespace headrace::bench {
namespace {

constexpr uint32_t kResident = 1u << 20;
constexpr uint64_t kSlotBytes = 4096;
constexpr uint64_t kPageBytes = 64ull << 20;

Time At(uint64_t micros) {
  return Time(seconds(1)) + microseconds(micros);
}

double CpuMicros() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

using Hashes = std::vector<uint8_t>;

// The core over a pool whose bytes do not exist: it never touches them.
class Core {
 public:
  explicit Core(uint32_t slots) {
    engine::PoolShape shape;
    shape.page_bytes = kPageBytes;
    shape.min_slot_bytes = kSlotBytes;
    const uint64_t pages = (slots * kSlotBytes + kPageBytes - 1) / kPageBytes;
    shape.regions = {{pages * kPageBytes, 0}};
    meta_bytes_ = shape.MetaBytes();
    memory_ = static_cast<uint8_t*>(mmap(nullptr, meta_bytes_, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    HR_CHECK(memory_ != MAP_FAILED);
    auto meta = engine::PoolMeta::Format({memory_, meta_bytes_}, shape, 1);
    HR_CHECK(meta.has_value());
    engine::Engine::Config config;
    config.seed = 99;
    auto engine = engine::Engine::Create(*meta, std::move(config));
    HR_CHECK(engine.has_value());
    engine_ = std::move(*engine);
    Apply(engine::OpenSession{1, "bench", "", 0});
    wire::Register spec;
    spec.name_space = "bench";
    spec.block_tokens = 16;
    spec.buffers = {{wire::BufferKind::kDescriptor, 1ull << 40, 0}};
    wire::Layout layout;
    layout.num_blocks = 1u << 24;
    layout.segment_bytes = kSlotBytes;
    layout.block_stride = kSlotBytes;
    layout.layer_offsets = {0};
    spec.groups.push_back({wire::GroupKind::kFull, 0, 0, layout});
    Apply(engine::Register{1, 1, &spec, {1}});
    registration_ = std::get<wire::RegisterReply>(effects_.replies.at(0).body).registration;
    for (uint32_t page = 0; page < pages; ++page) Apply(engine::PageReady{page});
  }
  ~Core() { munmap(memory_, meta_bytes_); }

  // Applies, keeps the longest, carries copies out at once and works until nothing waits.
  void Do(const engine::Command& command) {
    Apply(command);
    Settle();
  }
  void Apply(const engine::Command& command) {
    effects_.Clear();
    now_ += 1;
    const double start = CpuMicros();
    engine_->Apply(command, At(now_), &effects_);
    const double took = CpuMicros() - start;
    total_ += took;
    ++applies_;
    if (took > longest_) longest_ = took;
    for (const auto& job : effects_.copies) {
      done_.push_back({job.ticket, job.blocks.size() * kSlotBytes, Errc::kOk});
    }
    for (const auto& reply : effects_.replies) last_reply_ = reply;
  }
  void Settle() {
    while (!done_.empty() || engine_->HasWork()) {
      if (done_.empty()) {
        Apply(engine::Tick{});
      } else {
        const wire::CopyDone done = done_.front();
        done_.pop_front();
        Apply(engine::Completion{done});
      }
    }
  }
  void SaveChain(const Hashes& hashes) {
    const auto count = static_cast<uint32_t>(hashes.size() / 32);
    wire::Save save;
    save.registration = registration_;
    wire::SaveChain chain;
    chain.hashes = wire::HashList(hashes.data(), 32, count);
    chain.blocks.resize(count);
    save.chains.push_back(std::move(chain));
    Do(engine::Save{1, ++request_, &save});
  }
  uint32_t Query(const Hashes& hashes, uint32_t count, bool lease) {
    wire::Query query;
    query.registration = registration_;
    wire::QueryItem item;
    item.hashes = wire::HashList(hashes.data(), 32, count);
    item.want_lease = lease;
    query.items.push_back(item);
    Apply(engine::Query{1, ++request_, &query});
    const auto& answer = std::get<wire::QueryReply>(last_reply_.body).answers.at(0);
    lease_ = answer.lease;
    return answer.hit_blocks;
  }
  void LoadLeased(uint32_t count) {
    wire::Load load;
    load.registration = registration_;
    load.lease = lease_;
    load.count = count;
    load.blocks_by_group.emplace_back(count, 0u);
    Do(engine::Load{1, ++request_, &load});
  }
  void Clear() { Do(engine::Clear{1, ++request_, registration_}); }

  double longest() const { return longest_; }
  double total() const { return total_; }
  uint64_t applies() const { return applies_; }
  void ResetTimes() { longest_ = total_ = 0, applies_ = 0; }
  const engine::Stats& stats() const { return engine_->stats(); }

 private:
  uint64_t meta_bytes_ = 0;
  uint8_t* memory_ = nullptr;
  std::unique_ptr<engine::Engine> engine_;
  engine::Effects effects_;
  engine::Reply last_reply_;
  std::deque<wire::CopyDone> done_;
  uint32_t registration_ = 0;
  uint64_t request_ = 1;
  uint64_t lease_ = 0;
  uint64_t now_ = 0;
  double longest_ = 0;
  double total_ = 0;
  uint64_t applies_ = 0;
};

Hashes RandomChain(uint32_t count, std::mt19937_64* random) {
  Hashes hashes(count * 32ull);
  for (size_t word = 0; word < hashes.size(); word += 8) {
    const uint64_t value = (*random)();
    std::memcpy(&hashes[word], &value, 8);
  }
  return hashes;
}

void QueryFigure(Core* core, const std::vector<Hashes>& chains, uint32_t count, double bar) {
  std::mt19937_64 random(5);
  std::vector<double> micros;
  std::vector<uint8_t> cold(96ull << 20);
  constexpr int kBatches = 40;
  constexpr int kQueries = 16;
  for (int batch = 0; batch < kBatches; ++batch) {
    std::memset(cold.data(), batch, cold.size());  // the tables leave the caches
    for (int i = 0; i < kQueries; ++i) {
      const Hashes& chain = chains[random() % chains.size()];
      const double start = CpuMicros();
      const uint32_t hit = core->Query(chain, count, false);
      micros.push_back(CpuMicros() - start);
      HR_CHECK(hit == count);
    }
  }
  Print({"engine.query" + std::to_string(count) + ".core", Median(micros), "us", bar, 0, 0,
         kBatches * kQueries, Spread(micros),
         "CPU of one Apply, 1 M resident blocks in random chains, caches emptied each 16 queries; "
         "limit is the bar"});
}

// Saves at a full pool, queries, loads, clears: everything that has to go in slices.
void MixedLoad(Core* core) {
  std::mt19937_64 random(17);
  std::vector<Hashes> recent;
  core->ResetTimes();
  const double start = core->total();
  for (int i = 0; i < 4000; ++i) {
    Hashes chain = RandomChain(1 + random() % 512, &random);
    core->SaveChain(chain);
    recent.push_back(std::move(chain));
    const Hashes& old = recent[random() % recent.size()];
    const auto count = static_cast<uint32_t>(old.size() / 32);
    const uint32_t hit = core->Query(old, count, true);
    if (hit > 0) core->LoadLeased(hit);
    if (i == 3000) core->Clear();
  }
  const double micros = core->total() - start;
  HR_CHECK(core->stats().evicted_blocks > 0 && core->stats().cleared_blocks > 0);
  Print({"engine.apply.max", core->longest(), "us", 100, 0, 0, static_cast<int>(core->applies()), 0,
         "longest CPU time of one Apply: saves of 1 to 512 blocks at a full pool of 1 M, queries "
         "with leases, loads, one clear of everything; limit is the bar"});
  Print({"engine.ops", static_cast<double>(core->applies()) / (micros / 1e6), "1/s", 0, 0, 0, 1, 0,
         "commands the core applies a CPU second in the same load"});
}

}  // namespace

void RunCoreBench() {
  Progress("the core with 1 M resident blocks");
  std::mt19937_64 random(3);
  Core core(kResident + kResident / 16);
  std::vector<Hashes> chains;
  for (uint32_t blocks = 0; blocks < kResident; blocks += 8192) {
    chains.push_back(RandomChain(8192, &random));
    core.SaveChain(chains.back());
  }
  HR_CHECK(core.stats().blocks_visible >= kResident);
  QueryFigure(&core, chains, 512, 5);
  QueryFigure(&core, chains, 8192, 10);
  MixedLoad(&core);
}

}  // namespace headrace::bench
