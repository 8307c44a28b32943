#include "bench/copy_bench.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <numeric>
#include <random>

#include "bench/report.h"
#include "bench/server_process.h"
#include "transport/local/copy.h"
#include "transport/memory.h"

namespace headrace::bench {
namespace {

constexpr uint64_t kBlockBytes = 2ull << 20;
constexpr uint32_t kBlocks = 512;  // 1 GiB: far colder than any L3
constexpr uint32_t kBatch = 256;   // blocks of one save or load
constexpr int kRounds = 16;
constexpr uint64_t kPoolBytes = 2ull << 30;

double SecondsSince(Time start) {
  return std::chrono::duration<double>(MonotonicNow() - start).count();
}

double GigabytesPerSecond(uint64_t bytes, double seconds) {
  return static_cast<double>(bytes) / 1e9 / seconds;
}

transport::SharedRegion Region(const char* name, uint64_t bytes) {
  auto region = transport::CreateRegion(name, bytes, transport::HugePages::kAuto);
  HR_CHECK(region.has_value());
  HR_CHECK(transport::Populate(*region, 0, bytes, false).has_value());
  return std::move(*region);
}

// What begins and ends a segment.
uint64_t Word(int round, uint32_t block, uint32_t layer) {
  return uint64_t{0x68656164} << 32 | static_cast<uint64_t>(round) << 24 | block << 12 | layer;
}

class CopyBench {
 public:
  CopyBench(const std::string& server_program, uint64_t segment_bytes)
      : segment_bytes_(segment_bytes),
        layers_(static_cast<uint32_t>(kBlockBytes / segment_bytes)),
        server_(server_program, kPoolBytes, {"--mover-threads", "1"}),
        buffer_(Region("bench-buffer", kBlockBytes * kBlocks)),
        pool_(server_.MapPool()),
        client_(server_.Connect("bench-copy")) {
    layout_.num_blocks = kBlocks;
    layout_.segment_bytes = segment_bytes;
    layout_.block_stride = segment_bytes;
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      layout_.layer_offsets.push_back(layer * kBlocks * segment_bytes);
    }
    order_.resize(kBlocks);
    std::iota(order_.begin(), order_.end(), 0);
    client::Registration registration;
    registration.name_space = "bench";
    registration.block_tokens = 16;
    registration.buffers.push_back({buffer_.fd.get(), 0, kBlockBytes * kBlocks});
    registration.groups.push_back({wire::GroupKind::kFull, 0, 0, layout_});
    HR_CHECK(client_->Register(registration, seconds(5)).has_value());
  }

  void Run(const std::string& tag);

 private:
  double Save(int round);
  double Load(int round);
  double Reference(bool to_pool, bool non_temporal);
  void Shuffle() { std::shuffle(order_.begin(), order_.end(), random_); }
  void Stamp(int round);
  void Verify(int round);
  void FindSlots(int round);
  std::vector<uint8_t> Hashes(int round) const;
  client::Completion WaitFor(client::Submission submission);

  uint64_t segment_bytes_;
  uint32_t layers_;
  ServerProcess server_;
  transport::SharedRegion buffer_;
  std::vector<transport::Mapping> pool_;
  std::vector<uint8_t*> slots_;  // where the server put block i of the batch
  std::unique_ptr<client::Client> client_;
  wire::Layout layout_;
  std::vector<uint32_t> order_;
  std::vector<uint32_t> saved_;
  std::mt19937_64 random_{42};
};

// Each segment of a block begins and ends with words that name it and the round.
void CopyBench::Stamp(int round) {
  for (uint32_t i = 0; i < kBatch; ++i) {
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      uint8_t* segment = buffer_.mapping.data() + layout_.SegmentOffset(layer, order_[i], 0);
      const uint64_t word = Word(round, i, layer);
      std::memcpy(segment, &word, 8);
      std::memcpy(segment + segment_bytes_ - 8, &word, 8);
    }
  }
}

void CopyBench::Verify(int round) {
  for (uint32_t i = 0; i < kBatch; ++i) {
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      const uint8_t* segment = buffer_.mapping.data() + layout_.SegmentOffset(layer, order_[i], 0);
      const uint64_t word = Word(round, i, layer);
      HR_CHECK(std::memcmp(segment, &word, 8) == 0);
      HR_CHECK(std::memcmp(segment + segment_bytes_ - 8, &word, 8) == 0);
    }
  }
}

std::vector<uint8_t> CopyBench::Hashes(int round) const {
  std::vector<uint8_t> hashes(kBatch * 32, static_cast<uint8_t>(round));
  for (uint32_t i = 0; i < kBatch; ++i) std::memcpy(&hashes[i * 32], &i, 4);
  return hashes;
}

client::Completion CopyBench::WaitFor(client::Submission submission) {
  std::vector<client::Completion> done;
  while (done.empty()) client_->Wait(seconds(10), &done);
  HR_CHECK(done.size() == 1 && done[0].submission == submission && done[0].code == Errc::kOk);
  return done[0];
}

double CopyBench::Save(int round) {
  Shuffle();
  Stamp(round);
  const auto hashes = Hashes(round);
  wire::SaveChain chain;
  chain.hashes = wire::HashList(hashes.data(), 32, kBatch);
  chain.blocks.assign(order_.begin(), order_.begin() + kBatch);
  const Time start = MonotonicNow();
  auto submission = client_->SubmitSave({&chain, 1});
  HR_CHECK(submission.has_value());
  const auto done = WaitFor(*submission);
  const double elapsed = SecondsSince(start);
  HR_CHECK(done.stored == kBatch);
  return GigabytesPerSecond(kBatch * kBlockBytes, elapsed);
}

double CopyBench::Load(int round) {
  Shuffle();
  const auto hashes = Hashes(round);
  client::QuerySpec query;
  query.hashes = wire::HashList(hashes.data(), 32, kBatch);
  query.want_lease = true;
  client::QueryResult hit;
  client_->Query({&query, 1}, {&hit, 1});
  HR_CHECK(hit.hit_blocks == kBatch && hit.lease != 0);
  const std::vector<std::vector<uint32_t>> blocks = {{order_.begin(), order_.begin() + kBatch}};
  const Time start = MonotonicNow();
  auto submission = client_->SubmitLoad(hit.lease, 0, kBatch, blocks);
  HR_CHECK(submission.has_value());
  WaitFor(*submission);
  const double elapsed = SecondsSince(start);
  Verify(round);
  return GigabytesPerSecond(kBatch * kBlockBytes, elapsed);
}

// The slots that the batch of this round lies in, found by the words its blocks begin with.
void CopyBench::FindSlots(int round) {
  slots_.assign(kBatch, nullptr);
  for (const transport::Mapping& region : pool_) {
    for (uint64_t at = 0; at + kBlockBytes <= region.size(); at += kBlockBytes) {
      uint64_t word = 0;
      std::memcpy(&word, region.data() + at, 8);
      const uint32_t block = word >> 12 & 0xfff;
      if (block < kBatch && word == Word(round, block, 0)) slots_[block] = region.data() + at;
    }
  }
  for (const uint8_t* slot : slots_) HR_CHECK(slot != nullptr);
}

// The very bytes that the server has just moved, between the same addresses: nothing changes, and
// memory that is slower than other memory is so for both.
double CopyBench::Reference(bool to_pool, bool non_temporal) {
  const Time start = MonotonicNow();
  for (uint32_t i = 0; i < kBatch; ++i) {
    for (uint32_t layer = 0; layer < layers_; ++layer) {
      uint8_t* mine = buffer_.mapping.data() + layout_.SegmentOffset(layer, order_[i], 0);
      uint8_t* slot = slots_[i] + layout_.SlotOffset(layer, 0);
      uint8_t* to = to_pool ? slot : mine;
      const uint8_t* from = to_pool ? mine : slot;
      if (non_temporal) {
        transport::BestCopyKernel().copy(to, from, segment_bytes_, nullptr);
      } else {
        std::memcpy(to, from, segment_bytes_);
      }
    }
  }
  transport::CopyFence();
  return GigabytesPerSecond(kBatch * kBlockBytes, SecondsSince(start));
}

void CopyBench::Run(const std::string& tag) {
  std::vector<double> save, load, save_best, load_best;
  // All of the pool is touched once before anything counts, by the server and by the reference.
  constexpr int kWarmUp = kPoolBytes / (kBatch * kBlockBytes);
  for (int round = -kWarmUp; round < kRounds; ++round) {
    const int stamp = round + kWarmUp;
    const double saved = Save(stamp);
    FindSlots(stamp);
    const double save_reference = std::max(Reference(true, false), Reference(true, true));
    const double loaded = Load(stamp);
    const double load_reference = std::max(Reference(false, false), Reference(false, true));
    if (round < 0) continue;
    save.push_back(saved);
    save_best.push_back(save_reference);
    load.push_back(loaded);
    load_best.push_back(load_reference);
  }
  const std::string how = "server, one mover thread, " + std::to_string(segment_bytes_ >> 10) +
                          " KiB segments, random blocks of 1 GiB; limit is the best of libc "
                          "and non-temporal memcpy between the same addresses, in turns; first and "
                          "last words of all segments checked";
  Print({"engine.save." + tag, Median(save), "GB/s", Median(save_best), 0, 0, kRounds, Spread(save),
         how});
  Print({"engine.load." + tag, Median(load), "GB/s", Median(load_best), 0, 0, kRounds, Spread(load),
         how});
}

}  // namespace

void RunCopyBench(const std::string& server_program, uint64_t segment_bytes,
                  const std::string& tag) {
  Progress("save and load, " + std::to_string(segment_bytes >> 10) + " KiB segments");
  CopyBench(server_program, segment_bytes).Run(tag);
}

}  // namespace headrace::bench
