#include "bench/hash_bench.h"

#include <time.h>

#include <random>

#include "bench/report.h"
#include "wire/hash.h"

namespace headrace::bench {
namespace {

constexpr uint32_t kBlockTokens = 16;
constexpr size_t kTokens = 8192;
constexpr uint32_t kVocabulary = 128000;
constexpr int kRuns = 15;

constexpr wire::HashAlgo kAlgos[] = {wire::HashAlgo::kSha256, wire::HashAlgo::kSha256Cbor,
                                     wire::HashAlgo::kXxhash, wire::HashAlgo::kXxhashCbor,
                                     wire::HashAlgo::kLlmdA,  wire::HashAlgo::kLlmdB,
                                     wire::HashAlgo::kLlmdC,  wire::HashAlgo::kLlmdD,
                                     wire::HashAlgo::kXxh64,  wire::HashAlgo::kBlake3};

double CpuNanos() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

std::vector<uint32_t> Prompt() {
  std::mt19937 random(4);
  std::vector<uint32_t> tokens(kTokens);
  for (uint32_t& token : tokens) token = static_cast<uint32_t>(random() % kVocabulary);
  return tokens;
}

// Nanoseconds a block, of one run after another.
template <typename Walk>
std::vector<double> Measure(const Walk& walk) {
  constexpr int kWalks = 8;
  constexpr double kBlocks = static_cast<double>(kTokens / kBlockTokens);
  std::vector<double> nanos;
  for (int run = 0; run < kRuns; ++run) {
    const double begin = CpuNanos();
    for (int i = 0; i < kWalks; ++i) walk();
    nanos.push_back((CpuNanos() - begin) / (kWalks * kBlocks));
  }
  return nanos;
}

uint64_t Step(uint64_t state, uint64_t byte) {
  return (state ^ byte) * 0x100000001b3;
}

uint64_t AddBigEndian(uint64_t state, uint64_t value, int bytes) {
  for (int shift = 8 * bytes - 8; shift >= 0; shift -= 8) state = Step(state, value >> shift & 255);
  return state;
}

uint64_t AddToken(uint64_t state, uint32_t token) {
  if (token < 24) return Step(state, token);
  if (token < 1u << 8) return AddBigEndian(Step(state, 0x18), token, 1);
  if (token < 1u << 16) return AddBigEndian(Step(state, 0x19), token, 2);
  return AddBigEndian(Step(state, 0x1a), token, 4);
}

wire::HasherOptions OptionsOf(wire::HashAlgo algo) {
  wire::HasherOptions options;
  options.algo = algo;
  options.model = "m";
  options.block_tokens = kBlockTokens;
  if (algo != wire::HashAlgo::kBlake3) options.seed = "0";
  return options;
}

bool IsFnv(wire::HashAlgo algo) {
  return algo == wire::HashAlgo::kLlmdC || algo == wire::HashAlgo::kLlmdD;
}

}  // namespace

uint64_t BareFnvChain(uint64_t root, std::span<const uint32_t> tokens, uint32_t block_tokens) {
  HR_CHECK(block_tokens < 24);
  uint64_t key = root;
  for (size_t i = 0; i + block_tokens <= tokens.size(); i += block_tokens) {
    uint64_t state = Step(Step(0xcbf29ce484222325, 0x83), 0x1b);
    state = Step(AddBigEndian(state, key, 8), 0x80 | block_tokens);
    for (const uint32_t token : tokens.subspan(i, block_tokens)) state = AddToken(state, token);
    key = Step(state, 0xf6);
  }
  return key;
}

void RunHashBench() {
  const std::vector<uint32_t> tokens = Prompt();
  for (const wire::HashAlgo algo : kAlgos) {
    const auto hasher = wire::BlockHasher::Create(OptionsOf(algo));
    HR_CHECK(hasher.has_value());
    std::vector<uint64_t> keys;
    const auto nanos = Measure([&] { (*hasher)->Keys(tokens, {}, &keys); });
    Figure figure{"index.hash16." + std::string(wire::HashAlgoName(algo)), Median(nanos), "ns"};
    figure.runs = kRuns;
    figure.spread = Spread(nanos);
    figure.how = "CPU time a block, Keys() of 8192 tokens, ids uniform below 128 000";
    if (IsFnv(algo)) {
      const uint64_t root = wire::BlockHasher::Low64((*hasher)->root());
      uint64_t last = 0;
      figure.limit = Median(Measure([&] { last = BareFnvChain(root, tokens, kBlockTokens); }));
      figure.how += "; limit: a plain loop over the same bytes";
      HR_CHECK(last == keys.back());
    }
    Print(figure);
  }
}

}  // namespace headrace::bench
