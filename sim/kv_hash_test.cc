#include "sim/kv_hash.h"

#include <gtest/gtest.h>

#include <set>

#include "base/hex.h"
#include "wire/hash_vectors.h"

namespace headrace::sim {
namespace {

using wire::BlockHash;
using wire::HashAlgo;

std::unique_ptr<KvHasher> Make(const wire::HasherOptions& options) {
  auto hasher = KvHasher::Create(options);
  HR_CHECK(hasher.has_value());
  return std::move(*hasher);
}
std::unique_ptr<KvHasher> Make(HashAlgo algo, uint32_t block_tokens = 4) {
  wire::HasherOptions options;
  options.algo = algo;
  options.seed.emplace("");
  options.model = "m";
  options.block_tokens = block_tokens;
  return Make(options);
}

std::vector<uint32_t> Tokens(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i < count; ++i) tokens[i] = i + 1;
  return tokens;
}

KvBlocks Hash(KvHasher* hasher, const KvPrompt& prompt) {
  KvBlocks blocks;
  hasher->Hash(prompt, &blocks);
  return blocks;
}

// What the peer gave: all of a digest, or its low 64 bits.
std::vector<BlockHash> AsLongAs(const std::vector<BlockHash>& given, std::vector<BlockHash> own) {
  for (size_t i = 0; i < own.size() && i < given.size(); ++i) {
    if (given[i].size == 8) own[i] = BlockHash::Of(own[i].view().last(8));
  }
  return own;
}

// Rows without extra keys: those here come from prompts, not from a list.
size_t ExpectRows(const std::string& file) {
  size_t rows = 0;
  for (const auto& row : wire::vectors::LoadRows(file)) {
    if (row.fails || row.wide || !row.parent.empty() || !row.extra.empty()) continue;
    const auto tokens = wire::vectors::Narrow(row.tokens);
    const auto hasher = Make(row.options);
    EXPECT_EQ(AsLongAs(row.hashes, Hash(hasher.get(), {.tokens = tokens}).hashes), row.hashes)
        << row.name;
    ++rows;
  }
  return rows;
}

TEST(KvHasher, AgreesWithEveryPeer) {
  EXPECT_GT(ExpectRows("vllm.json"), 20u);
  EXPECT_GT(ExpectRows("llmd.json"), 10u);
  EXPECT_GT(ExpectRows("router.json"), 0u);
}

// Made by llm-d-kv-cache: the name of an adapter in the place of the model's, and an image.
TEST(KvHasher, AgreesWithLlmdOnAdaptersAndImages) {
  const auto hasher = Make(HashAlgo::kLlmdD);
  const auto tokens = Tokens(12);
  const auto keys = [](const KvBlocks& blocks) {
    std::vector<uint64_t> numbers;
    for (const BlockHash& hash : blocks.hashes) {
      numbers.push_back(wire::BlockHasher::Low64(hash));
    }
    return numbers;
  };
  EXPECT_EQ(
      keys(Hash(hasher.get(), {.tokens = std::span(tokens).first(8), .lora_name = "sql-lora"})),
      (std::vector<uint64_t>{3611637726261991036u, 6688437128617544600u}));
  EXPECT_EQ(keys(Hash(hasher.get(), {.tokens = std::span(tokens).first(9)})),
            (std::vector<uint64_t>{14686617092727577033u, 9856792211163113858u}));
  const std::vector<KvMedia> media = {{.hash = "img-a", .offset = 4, .length = 4}};
  EXPECT_EQ(
      keys(Hash(hasher.get(), {.tokens = tokens, .media = media})),
      (std::vector<uint64_t>{14686617092727577033u, 17268186389594441542u, 11010531395459913800u}));
}

TEST(KvHasher, TellsAdaptersApartInEveryAlgorithmThatCan) {
  for (const HashAlgo algo : {HashAlgo::kLlmdD, HashAlgo::kXxh64, HashAlgo::kSha256Cbor,
                              HashAlgo::kXxhashCbor, HashAlgo::kSha256}) {
    const auto hasher = Make(algo);
    const auto tokens = Tokens(4);
    std::set<std::string> seen;
    for (const char* name : {"", "a", "b", "a", ""}) {
      const auto blocks = Hash(hasher.get(), {.tokens = tokens, .lora_name = name});
      seen.insert(Hex(blocks.hashes.at(0).view()));
    }
    EXPECT_EQ(seen.size(), 3u) << wire::HashAlgoName(algo);
  }
}

TEST(KvHasher, RemembersABoundedNumberOfAdapters) {
  const auto hasher = Make(HashAlgo::kLlmdD);
  const auto tokens = Tokens(4);
  const auto of = [&](size_t i) {
    const std::string name = "adapter" + std::to_string(i);
    return Hash(hasher.get(), {.tokens = tokens, .lora_name = name}).hashes.at(0);
  };
  std::set<std::string> seen;
  constexpr size_t kCount = 3 * KvHasher::kMaxAdapters;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < kCount; ++i) seen.insert(Hex(of(i).view()));
  }
  EXPECT_EQ(seen.size(), kCount);
}

TEST(KvHasher, NamesMediaOnTheBlocksThatTheyOverlap) {
  for (const HashAlgo algo : {HashAlgo::kLlmdD, HashAlgo::kSha256Cbor}) {
    const auto hasher = Make(algo);
    const auto tokens = Tokens(16);
    const auto plain = Hash(hasher.get(), {.tokens = tokens});
    EXPECT_TRUE(plain.extras.empty());
    const std::vector<KvMedia> media = {{.hash = "image", .offset = 6, .length = 4}};
    const auto blocks = Hash(hasher.get(), {.tokens = tokens, .media = media});
    ASSERT_EQ(blocks.extras.size(), 4u);
    EXPECT_TRUE(blocks.extras[0].empty());
    EXPECT_EQ(blocks.extras[1].size(), 1u);
    EXPECT_EQ(blocks.extras[2].size(), 1u);
    EXPECT_TRUE(blocks.extras[3].empty());
    EXPECT_EQ(blocks.hashes[0], plain.hashes[0]);
    for (size_t i = 1; i < 4; ++i) EXPECT_FALSE(blocks.hashes[i] == plain.hashes[i]);
    // (tag,) hash, offset
    const auto& atoms = blocks.extras[2].at(0).atoms;
    ASSERT_GE(atoms.size(), 2u);
    EXPECT_EQ(std::get<std::string>(atoms[atoms.size() - 2]), "image");
    EXPECT_EQ(std::get<int64_t>(atoms.back()), -2);
  }
}

TEST(KvHasher, GoesOnBehindThePrompt) {
  const std::vector<KvMedia> media = {{.hash = "image", .offset = 6, .length = 4}};
  for (const HashAlgo algo : {HashAlgo::kLlmdD, HashAlgo::kSha256Cbor, HashAlgo::kXxh64}) {
    const auto hasher = Make(algo);
    const auto tokens = Tokens(16);
    const KvPrompt whole = {.tokens = tokens, .media = media, .lora_name = "a", .lora_path = "p"};
    const auto blocks = Hash(hasher.get(), whole);
    KvPrompt begin = whole;
    begin.tokens = std::span(tokens).first(10);
    const auto known = Hash(hasher.get(), begin);
    ASSERT_EQ(known.hashes.size(), 2u);
    BlockHash parent = known.hashes.back();
    for (uint32_t i = 2; i < 4; ++i) {
      wire::ExtraKeys extra;
      parent = hasher->Next(begin, i, parent, std::span(tokens).subspan(i * 4, 4), &extra);
      EXPECT_EQ(parent, blocks.hashes[i]) << wire::HashAlgoName(algo) << i;
      EXPECT_EQ(extra.size(), blocks.extras[i].size());
    }
  }
}

TEST(KvHasher, NamesAnOptionThatMakesNoSense) {
  wire::HasherOptions options;
  options.block_tokens = 0;
  EXPECT_EQ(KvHasher::Create(options).error().code, Errc::kInvalid);
}

}  // namespace
}  // namespace headrace::sim
