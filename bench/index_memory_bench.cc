#include "bench/index_memory_bench.h"

#include <cstdio>
#include <fstream>
#include <string>

#include "bench/index_world.h"
#include "bench/report.h"

namespace headrace::bench {
namespace {

std::string Text(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// What the machine gave for an index of so many blocks: when it is full, and after half of it went
// and came again; then its blocks and its copies.
struct Growth {
  double bytes, churned_bytes, blocks, copies, told_bytes;
};
Growth Measure(uint64_t blocks, uint32_t holders) {
  const auto numbers = InChild(5, [&]() -> std::vector<double> {
    const uint64_t before = ResidentBytes();
    IndexWorld world(21);
    world.Fill(blocks, holders);
    const auto full = static_cast<double>(ResidentBytes() - before);
    const auto copies = static_cast<double>(world.copies());
    world.Churn(holders);
    const auto churned = static_cast<double>(ResidentBytes() - before);
    return {full, churned, static_cast<double>(world.index().stats().blocks), copies,
            static_cast<double>(world.index().stats().bytes)};
  });
  return {numbers.at(0), numbers.at(1), numbers.at(2), numbers.at(3), numbers.at(4)};
}

uint64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  uint64_t kilobytes = 0;
  while (file >> word && word != "MemAvailable:") {
  }
  HR_CHECK(file >> kilobytes);
  return kilobytes << 10;
}

// An index of this size: how long 512 keys with 8 pods take, an event of 16 new blocks, a block's
// bytes, and the longest event.
void Grow(const char* name, uint64_t blocks) {
  constexpr uint64_t kBytesABlock = 45;  // with room
  uint64_t fitting = blocks;
  while (fitting * kBytesABlock > AvailableBytes()) fitting /= 2;
  const auto numbers = InChild(64, [&]() -> std::vector<double> {
    const uint64_t before = ResidentBytes();
    IndexWorld world(22);
    world.Fill(fitting, 2);
    const auto bytes = static_cast<double>(ResidentBytes() - before);
    std::vector<std::vector<indexer::RequestKey>> prompts;
    for (int i = 0; i < 40; ++i) {
      prompts.push_back(world.RandomKeys(512));
      for (const uint32_t pod : world.RandomPods(8)) world.Store(pod, prompts.back());
    }
    indexer::Scorer scorer(&world.index(), &world.tiers());
    std::vector<indexer::PodScore> scores;
    ColdCaches caches;
    std::vector<double> micros;
    for (const auto& prompt : prompts) {
      caches.Empty();
      const double start = CpuMicros();
      scorer.Score({prompt, {}, false, 16}, &scores);
      micros.push_back(CpuMicros() - start);
      HR_CHECK(scores.size() == 8);
    }
    std::vector<double> events;
    const auto keys = world.RandomKeys(20000 * kEventBlocks);
    for (size_t at = 0; at < keys.size(); at += kEventBlocks) {
      const double start = CpuMicros();
      world.Store(at / kEventBlocks % kIndexPods, {&keys[at], kEventBlocks});
      events.push_back(CpuMicros() - start);
    }
    return {Median(micros), Spread(micros), Median(events), Quantile(events, 0.999),
            bytes / static_cast<double>(world.index().stats().blocks)};
  });
  Figure figure{name, numbers.at(0), "us"};
  figure.runs = 40;
  figure.spread = numbers.at(1);
  figure.how = "CPU of a score of 512 keys that 8 pods hold, cold, among " +
               Text("%.0f", static_cast<double>(fitting)) + " blocks" +
               (fitting < blocks ? " (more did not fit here)" : "") +
               " with 2 holders on average; Add of an event of 16 new blocks " +
               Text("%.2f us", numbers.at(2)) + ", one in a thousand takes " +
               Text("%.0f us", numbers.at(3)) + "; " + Text("%.1f bytes a block", numbers.at(4));
  Print(figure);
}

}  // namespace

void RunIndexMemory(const IndexOptions& options) {
  Progress("the memory of an index with 1 and with 8 holders a block");
  const Growth one = Measure(options.blocks(), 1);
  const Growth eight = Measure(options.blocks(), 8);
  const double per_block = one.bytes / one.blocks;
  const double per_holder =
      (eight.bytes / eight.blocks - per_block) / ((eight.copies - one.copies) / one.blocks);
  Figure block{"index.bytes_per_block", per_block, "B"};
  block.how =
      "growth of the process by 10 M blocks in chains of 64, one holder each, engine map "
      "included; after half was removed one by one at random and as much was added: " +
      Text("%.1f", one.churned_bytes / one.blocks) +
      "; with 8 holders on average: " + Text("%.1f", eight.bytes / eight.blocks) +
      ", after the same " + Text("%.1f", eight.churned_bytes / eight.blocks) +
      "; the bar is 32 and 4 a holder; by its own count: " +
      Text("%.1f", one.told_bytes / one.blocks);
  Print(block);
  Figure holder{"index.bytes_per_holder", per_holder, "B"};
  holder.how =
      "what the holders beyond the first add a block, chains of 64 with 8 of 512 pods on "
      "average against 1; the bar is 4";
  Print(holder);
}

void RunIndexGrowth(const IndexOptions& options) {
  Progress("indexes of 1, 10 and 100 M blocks");
  const uint64_t million = options.quick ? 5'000 : 1'000'000;
  Grow("index.grow.1m", million);
  Grow("index.grow.10m", 10 * million);
  Grow("index.grow.100m", 100 * million);
}

}  // namespace headrace::bench
