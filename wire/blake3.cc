#include "wire/blake3.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace headrace::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie");

constexpr size_t kBlockBytes = 64;
constexpr size_t kChunkBytes = 1024;
constexpr int kRounds = 7;

enum Flag : uint32_t { kChunkStart = 1, kChunkEnd = 2, kParent = 4, kRoot = 8 };

using Words = std::array<uint32_t, 8>;   // a chaining value
using Block = std::array<uint32_t, 16>;  // a message block, or the state

constexpr Words kInitial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
// Where each message word comes from in the next round.
constexpr std::array<uint8_t, 16> kPermutation = {2, 6,  3,  10, 7, 0,  4,  13,
                                                  1, 11, 12, 5,  9, 14, 15, 8};

// The message order of every round.
constexpr auto kSchedule = [] {
  std::array<std::array<uint8_t, 16>, kRounds> rounds{};
  for (uint8_t i = 0; i < 16; ++i) rounds[0][i] = i;
  for (size_t r = 1; r < kRounds; ++r) {
    for (size_t i = 0; i < 16; ++i) rounds[r][i] = rounds[r - 1][kPermutation[i]];
  }
  return rounds;
}();

// One last compression that is still to be made: of a chunk, or of two subtrees.
struct Node {
  Words chain;
  Block block;
  uint64_t counter;
  uint32_t num_bytes;
  uint32_t flags;
};

// Four words of the state, by index: a column or a diagonal.
using Quad = std::array<uint8_t, 4>;

[[gnu::always_inline]] inline void Mix(Block* state, Quad at, uint32_t x, uint32_t y) {
  uint32_t& a = (*state)[at[0]];
  uint32_t& b = (*state)[at[1]];
  uint32_t& c = (*state)[at[2]];
  uint32_t& d = (*state)[at[3]];
  a += b + x;
  d = std::rotr(d ^ a, 16);
  c += d;
  b = std::rotr(b ^ c, 12);
  a += b + y;
  d = std::rotr(d ^ a, 8);
  c += d;
  b = std::rotr(b ^ c, 7);
}

// The order is a constant here, so that every word is read from a fixed place.
template <size_t kRound>
inline void MixRound(Block* state, const Block& block) {
  constexpr std::array<uint8_t, 16> kOrder = kSchedule[kRound];
  const auto mix = [&](Quad at, size_t word) __attribute__((always_inline)) {
    Mix(state, at, block[kOrder[word]], block[kOrder[word + 1]]);
  };
  mix({0, 4, 8, 12}, 0);
  mix({1, 5, 9, 13}, 2);
  mix({2, 6, 10, 14}, 4);
  mix({3, 7, 11, 15}, 6);
  mix({0, 5, 10, 15}, 8);
  mix({1, 6, 11, 12}, 10);
  mix({2, 7, 8, 13}, 12);
  mix({3, 4, 9, 14}, 14);
}

Words Compress(const Node& node, uint32_t more_flags) {
  const Words& chain = node.chain;
  Block s = {chain[0],
             chain[1],
             chain[2],
             chain[3],
             chain[4],
             chain[5],
             chain[6],
             chain[7],
             kInitial[0],
             kInitial[1],
             kInitial[2],
             kInitial[3],
             static_cast<uint32_t>(node.counter),
             static_cast<uint32_t>(node.counter >> 32),
             node.num_bytes,
             node.flags | more_flags};
  [&]<size_t... kRound>(std::index_sequence<kRound...>) {
    (MixRound<kRound>(&s, node.block), ...);
  }(std::make_index_sequence<kRounds>());
  Words out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = s[i] ^ s[i + 8];
  return out;
}

// REQUIRES: data.size() <= kChunkBytes
Node ChunkNode(std::span<const uint8_t> data, uint64_t index) {
  Node node{kInitial, {}, index, 0, kChunkStart};
  for (;;) {
    const size_t size = std::min(data.size(), kBlockBytes);
    node.block = {};
    if (size > 0) std::memcpy(node.block.data(), data.data(), size);
    node.num_bytes = static_cast<uint32_t>(size);
    data = data.subspan(size);
    if (data.empty()) break;
    node.chain = Compress(node, 0);
    node.flags = 0;
  }
  node.flags |= kChunkEnd;
  return node;
}

// A tree over chunks, numbered from `index`: the left side is the largest full one that leaves
// something to the right.
Node TreeNode(std::span<const uint8_t> data, uint64_t index) {
  if (data.size() <= kChunkBytes) return ChunkNode(data, index);
  const size_t left_chunks = std::bit_floor((data.size() - 1) / kChunkBytes);
  const size_t left_bytes = left_chunks * kChunkBytes;
  const Words left = Compress(TreeNode(data.first(left_bytes), index), 0);
  const Words right = Compress(TreeNode(data.subspan(left_bytes), index + left_chunks), 0);
  Node node{kInitial, {}, 0, kBlockBytes, kParent};
  std::copy(left.begin(), left.end(), node.block.begin());
  std::copy(right.begin(), right.end(), node.block.begin() + left.size());
  return node;
}

}  // namespace

std::array<uint8_t, 32> Blake3(std::span<const uint8_t> data) {
  const Words words = Compress(TreeNode(data, 0), kRoot);
  std::array<uint8_t, 32> digest;
  std::memcpy(digest.data(), words.data(), digest.size());
  return digest;
}

}  // namespace headrace::wire
