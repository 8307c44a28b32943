#include "bench/index_ingest_bench.h"

#include <cstdio>

#include "bench/index_world.h"
#include "bench/report.h"
#include "indexer/ingest.h"
#include "wire/event.h"
#include "wire/hash.h"

namespace headrace::bench {
namespace {

constexpr size_t kTokens = 256;
constexpr size_t kEvents = 12'000;
constexpr size_t kRun = 200;  // events between two looks at the clock
constexpr size_t kChainEvents = 4;

// What came from an engine: chains of four events, new to the index.
struct Stream {
  std::vector<std::string> payloads;
  explicit Stream(Random* random) {
    std::vector<uint64_t> hashes(kEventBlocks);
    std::vector<uint32_t> tokens(kTokens);
    for (size_t i = 0; i < kEvents; ++i) {
      std::optional<uint64_t> parent;
      if (i % kChainEvents != 0) parent = hashes.back();
      for (uint64_t& hash : hashes) hash = random->Next();
      for (uint32_t& token : tokens) token = static_cast<uint32_t>(random->Below(128000));
      payloads.emplace_back();
      EncodeStored({parent, hashes, tokens}, {}, &payloads.back());
    }
  }
};

// Decoder and digest, for one pod after the other, as a subscriber uses them.
class Ingest {
 public:
  Ingest(IndexWorld* world, wire::HashAlgo algo)
      : pods_(&world->index()), intents_(&world->index(), &pods_, 1000) {
    auto keys = indexer::IngestKeys::Create({.algo = algo});
    HR_CHECK(keys.has_value());
    keys_ = std::move(*keys);
    digest_ = std::make_unique<indexer::Digest>(
        indexer::Digest::Parts{&world->index(), &pods_, keys_.get(), &tiers_, &intents_, nullptr},
        indexer::DigestLimits{});
  }

  // Microseconds an event, of each run.
  std::vector<double> Play(const Stream& stream, const char* pod) {
    auto feed = digest_->Open(pod, "m");
    HR_CHECK(feed.has_value());
    std::vector<double> micros;
    for (size_t at = 0; at < stream.payloads.size(); at += kRun) {
      const double start = CpuMicros();
      for (size_t i = at; i < at + kRun; ++i) One(stream.payloads[i], &*feed);
      micros.push_back((CpuMicros() - start) / kRun);
    }
    return micros;
  }
  std::vector<double> Decode(const Stream& stream) {
    std::vector<double> micros;
    wire::EventBatch batch;
    for (size_t at = 0; at < stream.payloads.size(); at += kRun) {
      const double start = CpuMicros();
      for (size_t i = at; i < at + kRun; ++i) {
        const std::string& payload = stream.payloads[i];
        HR_CHECK(decoder_.Decode(Bytes(payload), &batch).has_value());
      }
      micros.push_back((CpuMicros() - start) / kRun);
    }
    return micros;
  }

 private:
  static std::span<const uint8_t> Bytes(const std::string& payload) {
    return {reinterpret_cast<const uint8_t*>(payload.data()), payload.size()};
  }

  void One(const std::string& payload, indexer::Feed* feed) {
    HR_CHECK(decoder_.Decode(Bytes(payload), &batch_).has_value());
    HR_CHECK(digest_->Apply(feed, batch_, Time(seconds(1))).has_value());
  }

  indexer::PodTable pods_;
  indexer::TierTable tiers_;
  indexer::PodIntents intents_;
  std::unique_ptr<indexer::IngestKeys> keys_;
  std::unique_ptr<indexer::Digest> digest_;
  wire::EventDecoder decoder_;
  wire::EventBatch batch_;
};

}  // namespace

void RunIndexIngest(const IndexOptions& options) {
  Progress("events into a filled index");
  IndexWorld world(23);
  world.Fill(options.blocks(), 8);
  const Stream first(&world.random()), second(&world.random());
  Ingest quick(&world, wire::HashAlgo::kXxh64);
  Ingest fnv(&world, wire::HashAlgo::kLlmdD);
  const uint64_t before = world.index().stats().blocks;
  const auto fresh = quick.Play(first, "a");
  HR_CHECK(world.index().stats().blocks == before + kEvents * kEventBlocks);
  const auto known = quick.Play(first, "b");
  const auto other = fnv.Play(second, "c");
  const auto decode = quick.Decode(first);
  char text[440];
  std::snprintf(
      text, sizeof(text),
      "CPU of decode, xxh64 keys and index of an event of 16 new blocks (1206 bytes or so, "
      "a map, 256 tokens), %llu M blocks in the index, memory cold; decode alone %.2f; with "
      "llm-d's FNV keys %.2f; where another pod holds the blocks already %.2f; the bar is 3; "
      "peer: an event of 16 blocks into Dynamo's tree, as JSON",
      static_cast<unsigned long long>(options.blocks() / 1'000'000), Median(decode), Median(other),
      Median(known));
  Print({"index.ingest16", Median(fresh), "us", 0, options.peer_ingest16, 0,
         static_cast<int>(fresh.size()), Spread(fresh), text});
}

}  // namespace headrace::bench
