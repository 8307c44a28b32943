#include "bench/index_world.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace headrace::bench {

using indexer::EngineKey;
using indexer::RequestKey;

double CpuMicros() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  HR_CHECK(file >> all >> resident);
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void ColdCaches::Empty() {
  std::memset(bytes_.data(), ++turn_, bytes_.size());
}

IndexWorld::IndexWorld(uint64_t seed) : random_(seed) {
  auto index = indexer::MemoryIndex::Create({.seed = seed});
  HR_CHECK(index.has_value());
  index_ = std::move(*index);
  for (uint32_t pod = 0; pod < kIndexPods; ++pod) {
    holders_.push_back(index_->AddHolder({pod, tiers_.Intern("gpu"), -1, false}));
  }
}

std::vector<RequestKey> IndexWorld::RandomKeys(size_t count) {
  std::vector<RequestKey> keys(count);
  for (RequestKey& key : keys) key = random_.Next() | 1;
  return keys;
}

std::vector<uint32_t> IndexWorld::RandomPods(size_t count) {
  HR_CHECK(count <= kIndexPods);
  std::vector<uint32_t> pods(kIndexPods);
  for (uint32_t i = 0; i < kIndexPods; ++i) pods[i] = i;
  for (size_t i = 0; i < count; ++i) std::swap(pods[i], pods[i + random_.Below(kIndexPods - i)]);
  pods.resize(count);
  return pods;
}

void IndexWorld::Store(uint32_t pod, std::span<const RequestKey> keys) {
  EngineKey engine[kEventBlocks];
  for (size_t at = 0; at < keys.size(); at += kEventBlocks) {
    const auto part = keys.subspan(at, std::min(kEventBlocks, keys.size() - at));
    for (size_t i = 0; i < part.size(); ++i) engine[i] = EngineKeyOf(part[i]);
    index_->Add(holders_[pod], {engine, part.size()}, part);
  }
  copies_ += keys.size();
}

void IndexWorld::StoreGroup(size_t chains, uint32_t holders) {
  const std::vector<RequestKey> keys = RandomKeys(chains * kChainBlocks);
  std::vector<Event> events;
  for (size_t chain = 0; chain < chains; ++chain) {
    for (const uint32_t pod : RandomPods(1 + random_.Below(2 * uint64_t{holders} - 1))) {
      for (size_t part = 0; part < kChainBlocks; part += kEventBlocks) {
        events.push_back({pod, &keys[chain * kChainBlocks + part]});
      }
    }
  }
  for (size_t i = events.size(); i > 1; --i) std::swap(events[i - 1], events[random_.Below(i)]);
  for (const Event& event : events) Store(event.pod, {event.keys, kEventBlocks});
}

void IndexWorld::Fill(uint64_t blocks, uint32_t holders) {
  constexpr size_t kGroup = 64;
  for (;;) {
    const uint64_t now = index_->stats().blocks;
    if (now >= blocks) return;
    const uint64_t chains = (blocks - now + kChainBlocks - 1) / kChainBlocks;
    StoreGroup(static_cast<size_t>(std::min<uint64_t>(chains, kGroup)), holders);
  }
}

void IndexWorld::Churn(uint32_t holders) {
  const uint64_t blocks = index_->stats().blocks;
  {
    std::vector<RequestKey> keys;
    keys.reserve(blocks);
    uint64_t cursor = 0;
    do {
      cursor = index_->Visit(cursor, 4096,
                             [&](RequestKey key, EngineKey, auto) { keys.push_back(key); });
    } while (cursor != 0);
    for (size_t i = keys.size(); i > keys.size() / 2; --i) {
      std::swap(keys[i - 1], keys[random_.Below(i)]);
      const EngineKey engine = EngineKeyOf(keys[i - 1]);
      for (const indexer::HolderId held : index_->Holders(keys[i - 1])) {
        copies_ -= index_->Remove(held, {&engine, 1});
      }
    }
  }
  HR_CHECK(index_->stats().blocks <= blocks / 2 + 1);
  Fill(blocks, holders);
}

void EncodeStored(const Stored& stored, const wire::EventForm& form, std::string* payload) {
  wire::Event event;
  event.type = wire::EventType::kStored;
  event.parent = stored.parent;
  event.hashes = stored.hashes;
  event.tokens = stored.tokens;
  event.block_size = static_cast<uint32_t>(stored.tokens.size() / stored.hashes.size());
  event.medium = "GPU";
  wire::EventBatch batch;
  batch.timestamp = 1.5;
  batch.rank = 0;
  batch.events = {&event, 1};
  payload->clear();
  wire::EncodeEventBatch(batch, form, payload);
}

std::vector<double> InChild(size_t count, const std::function<std::vector<double>()>& run) {
  const size_t bytes = (count + 1) * sizeof(double);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  HR_CHECK(memory != MAP_FAILED);
  auto* shared = static_cast<double*>(memory);
  const pid_t child = fork();
  HR_CHECK(child >= 0);
  if (child == 0) {
    const std::vector<double> numbers = run();
    HR_CHECK(numbers.size() <= count);
    std::copy(numbers.begin(), numbers.end(), shared + 1);
    shared[0] = static_cast<double>(numbers.size());
    _exit(0);
  }
  int status = 0;
  HR_CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  std::vector<double> numbers(shared + 1, shared + 1 + static_cast<size_t>(shared[0]));
  munmap(memory, bytes);
  return numbers;
}

}  // namespace headrace::bench
