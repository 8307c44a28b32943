#include "wire/hash.h"

#define XXH_INLINE_ALL
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstring>
#include <random>

#include "wire/hash_cbor.h"
#include "wire/hash_pickle.h"
#include "wire/hash_vectors.h"
#include "wire/sha256.h"

namespace headrace::wire {
namespace {

constexpr HashAlgo kAll[] = {HashAlgo::kSha256,     HashAlgo::kSha256Cbor, HashAlgo::kXxhash,
                             HashAlgo::kXxhashCbor, HashAlgo::kLlmdA,      HashAlgo::kLlmdB,
                             HashAlgo::kLlmdC,      HashAlgo::kLlmdD,      HashAlgo::kXxh64,
                             HashAlgo::kBlake3};

KeyAtom Text(std::string_view text) {
  return std::string(text);
}
KeyAtom Number(int64_t value) {
  return value;
}

std::unique_ptr<const BlockHasher> Make(const HasherOptions& options) {
  auto hasher = BlockHasher::Create(options);
  EXPECT_TRUE(hasher.has_value()) << hasher.error().what;
  return hasher ? std::move(*hasher) : nullptr;
}

HasherOptions OptionsOf(HashAlgo algo, uint32_t block_tokens) {
  HasherOptions options;
  options.algo = algo;
  options.block_tokens = block_tokens;
  if (algo != HashAlgo::kBlake3) options.seed.emplace("7");
  options.model = std::string("m");
  return options;
}

std::vector<uint32_t> RandomTokens(size_t count, uint32_t seed) {
  constexpr uint32_t kBelow[] = {24, 256, 65536, 128000, 262144, 300000, 1u << 24, 0xffffffff};
  std::mt19937 random(seed);
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) token = static_cast<uint32_t>(random() % kBelow[random() % 8]);
  return tokens;
}

// The digests of a row, one after another.
std::vector<BlockHash> Walk(const BlockHasher& hasher, const vectors::Row& row) {
  const auto tokens = vectors::Narrow(row.tokens);
  const size_t size = row.options.block_tokens;
  std::vector<BlockHash> hashes;
  BlockHash parent = row.parent;
  for (size_t i = 0; i < tokens.size() / size; ++i) {
    const ExtraKeys* extra = row.extra.empty() ? nullptr : &row.extra[i];
    parent = hasher.Next(parent, std::span(tokens).subspan(i * size, size), extra);
    hashes.push_back(parent);
  }
  return hashes;
}

// What the peer gave: all of a digest, or its low 64 bits.
std::vector<BlockHash> AsLongAs(const std::vector<BlockHash>& given, std::vector<BlockHash> own) {
  for (size_t i = 0; i < own.size() && i < given.size(); ++i) {
    const auto bytes = own[i].view();
    if (given[i].size == 8) own[i] = BlockHash::Of(bytes.last(8));
  }
  return own;
}

void ExpectRow(const vectors::Row& row) {
  SCOPED_TRACE(row.name);
  const auto hasher = Make(row.options);
  ASSERT_NE(hasher, nullptr);
  EXPECT_EQ(row.root.empty() ? BlockHash{} : hasher->root(), row.root);
  EXPECT_EQ(AsLongAs(row.hashes, Walk(*hasher, row)), row.hashes);
  if (!row.parent.empty()) return;
  std::vector<uint64_t> keys, low;
  hasher->Keys(vectors::Narrow(row.tokens), row.extra, &keys);
  for (const BlockHash& hash : row.hashes) low.push_back(BlockHasher::Low64(hash));
  EXPECT_EQ(keys, low);
}

BlockHash Digest(bool is_sha, const std::string& text) {
  if (!is_sha) {
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text.data(), text.size()));
    return BlockHash::Of(digest.digest);
  }
  const auto algorithm = Sha256Algorithm::Create();
  HR_CHECK(algorithm.has_value());
  std::array<uint8_t, Sha256::kBytes> digest;
  Sha256().Digest(**algorithm, {reinterpret_cast<const uint8_t*>(text.data()), text.size()},
                  digest.data());
  return BlockHash::Of(digest);
}

// The digest of a block whose ids do not fit the interface.
BlockHash WideHash(const vectors::Row& row) {
  std::string text;
  const bool is_sha =
      row.options.algo == HashAlgo::kSha256 || row.options.algo == HashAlgo::kSha256Cbor;
  if (row.options.algo == HashAlgo::kSha256Cbor || row.options.algo == HashAlgo::kXxhashCbor) {
    CborWriter writer(&text);
    writer.Array(3);
    writer.Bytes(row.parent.view());
    writer.Array(row.tokens.size());
    for (const uint64_t token : row.tokens) writer.Uint(token);
    writer.Nil();
  } else {
    PickleWriter writer(&text);
    writer.OpenTuple(3);
    writer.Bytes(row.parent.view());
    writer.OpenTuple(row.tokens.size());
    for (const uint64_t token : row.tokens) writer.Int(static_cast<int64_t>(token));
    writer.CloseTuple(row.tokens.size());
    writer.None();
    writer.CloseTuple(3);
    writer.Finish();
  }
  return Digest(is_sha, text);
}

TEST(BlockHasher, AgreesWithVllm) {
  size_t rows = 0;
  for (const vectors::Row& row : vectors::LoadRows("vllm.json")) {
    if (row.fails || row.wide) continue;
    ExpectRow(row);
    ++rows;
  }
  EXPECT_EQ(rows, 78u);
}

TEST(BlockHasher, AgreesWithVllmOnIdsBeyond32Bits) {
  size_t rows = 0;
  for (const vectors::Row& row : vectors::LoadRows("vllm.json")) {
    if (!row.wide) continue;
    EXPECT_EQ(WideHash(row), row.hashes.at(0)) << row.name;
    ++rows;
  }
  EXPECT_EQ(rows, 6u);
}

TEST(BlockHasher, AgreesWithEventsOfVllm) {
  const auto rows = vectors::LoadRows("events.json");
  BlockHash known;
  for (const vectors::Row& row : rows) {
    if (row.name == "sha256, int-seq000") known = Walk(*Make(row.options), row).back();
  }
  ASSERT_EQ(known.size, 32);
  for (vectors::Row row : rows) {
    if (row.parent.size == 8) {
      ASSERT_EQ(BlockHasher::Low64(row.parent), BlockHasher::Low64(known));
      row.parent = known;
    }
    ExpectRow(row);
  }
}

TEST(BlockHasher, AgreesWithPicklesOfPython) {
  for (const vectors::Row& row : vectors::LoadRows("pickle.json")) ExpectRow(row);
}

TEST(BlockHasher, AgreesWithGenerationsOfLlmd) {
  for (const vectors::Row& row : vectors::LoadRows("llmd.json")) ExpectRow(row);
}

TEST(BlockHasher, AgreesWithTheRouter) {
  for (const vectors::Row& row : vectors::LoadRows("router.json")) ExpectRow(row);
}

TEST(BlockHasher, AgreesWithBlake3Chains) {
  for (const vectors::Row& row : vectors::LoadRows("blake3.json")) ExpectRow(row);
}

TEST(BlockHasher, RefusesXxhashFormsWithoutASeed) {
  size_t rows = 0;
  for (const vectors::Row& row : vectors::LoadRows("vllm.json")) {
    if (!row.fails) continue;
    EXPECT_EQ(BlockHasher::Create(row.options).error().code, Errc::kInvalid) << row.name;
    ++rows;
  }
  EXPECT_EQ(rows, 2u);
}

TEST(BlockHasher, RefusesASeedForBlake3) {
  HasherOptions options;
  options.algo = HashAlgo::kBlake3;
  options.seed = "0";
  EXPECT_EQ(BlockHasher::Create(options).error().code, Errc::kInvalid);
}

TEST(BlockHasher, RefusesBlocksOfNoTokensAndOfTooMany) {
  for (const HashAlgo algo : kAll) {
    EXPECT_EQ(BlockHasher::Create(OptionsOf(algo, 0)).error().code, Errc::kInvalid);
    EXPECT_EQ(BlockHasher::Create(OptionsOf(algo, HasherOptions::kMaxBlockTokens + 1)).error().code,
              Errc::kInvalid);
    EXPECT_TRUE(BlockHasher::Create(OptionsOf(algo, HasherOptions::kMaxBlockTokens)));
  }
}

TEST(BlockHasher, KeysAreTheLowBitsOfTheChain) {
  for (const HashAlgo algo : kAll) {
    for (const uint32_t size : {1u, 2u, 3u, 5u, 6u, 7u, 16u, 24u, 257u}) {
      const auto hasher = Make(OptionsOf(algo, size));
      const auto tokens = RandomTokens(5 * size + size - 1, size);
      std::vector<uint64_t> keys = {1, 2, 3}, want;
      hasher->Keys(tokens, {}, &keys);
      BlockHash hash;
      for (size_t i = 0; i < 5; ++i) {
        hash = hasher->Next(hash, std::span(tokens).subspan(i * size, size), nullptr);
        EXPECT_EQ(hash.size, hasher->root().size);
        want.push_back(BlockHasher::Low64(hash));
      }
      EXPECT_EQ(keys, want) << HashAlgoName(algo) << " " << size;
    }
  }
}

TEST(BlockHasher, KeysAfterAKeyAreTheRestOfTheChain) {
  for (const HashAlgo algo : kAll) {
    const auto hasher = Make(OptionsOf(algo, 4));
    if (hasher->root().size != 8) continue;
    const auto tokens = RandomTokens(40, 9);
    std::vector<ExtraKeys> extras(10);
    extras[6] = {{{Text("mm"), Text("img"), Number(2)}}};
    std::vector<uint64_t> all, rest;
    hasher->Keys(tokens, extras, &all);
    for (size_t from = 1; from <= 10; ++from) {
      hasher->KeysAfter(all[from - 1], std::span(tokens).subspan(4 * from),
                        std::span(extras).subspan(from), &rest);
      EXPECT_EQ(rest, std::vector<uint64_t>(all.begin() + static_cast<long>(from), all.end()));
    }
  }
}

TEST(BlockHasher, ParentsOfEveryWidthAreHashedAsLlmdDoes) {
  // CBOR spells a small parent in fewer bytes; keys below 2^32 are rare but lawful.
  const auto hasher = Make(OptionsOf(HashAlgo::kLlmdD, 1));
  const uint32_t token = 1;
  for (const uint64_t parent : {0ull, 23ull, 24ull, 255ull, 256ull, 65535ull, 65536ull,
                                0xffffffffull, 0x100000000ull, ~0ull}) {
    std::string bytes;
    CborWriter writer(&bytes);
    writer.Array(3);
    writer.Uint(parent);
    writer.Array(1);
    writer.Uint(token);
    writer.Nil();
    uint64_t want = 0xcbf29ce484222325;
    for (const char byte : bytes) want = (want ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
    std::vector<uint64_t> keys;
    hasher->KeysAfter(parent, {&token, 1}, {}, &keys);
    EXPECT_EQ(keys, std::vector<uint64_t>{want}) << parent;
  }
}

TEST(BlockHasher, Xxh64OfEverySizeIsThatOfTheLibrary) {
  const uint64_t parent = 0x0123456789abcdef;
  for (uint32_t size = 1; size <= 70; ++size) {
    const auto tokens = RandomTokens(size, size);
    std::vector<uint8_t> bytes(8 + 4 * size_t{size});
    std::memcpy(bytes.data(), &parent, 8);
    std::memcpy(bytes.data() + 8, tokens.data(), tokens.size() * 4);
    std::vector<uint64_t> keys;
    Make(OptionsOf(HashAlgo::kXxh64, size))->KeysAfter(parent, tokens, {}, &keys);
    EXPECT_EQ(keys, std::vector<uint64_t>{XXH64(bytes.data(), bytes.size(), 0)}) << size;
  }
}

TEST(BlockHasher, ExtraKeysCountWhereThePeerCountsThem) {
  const auto tokens = RandomTokens(4, 3);
  const ExtraKeys image = {{{Text("mm"), Text("img"), Number(0)}}};
  const ExtraKeys lora = {{{Text("lora"), Text("n"), Text("p")}}};
  for (const HashAlgo algo : kAll) {
    const auto hasher = Make(OptionsOf(algo, 4));
    const auto differs = [&](const ExtraKeys& keys) {
      return hasher->Next({}, tokens, &keys) != hasher->Next({}, tokens, nullptr);
    };
    const bool vllm = algo <= HashAlgo::kXxhashCbor;
    const bool marks = algo == HashAlgo::kLlmdD || algo == HashAlgo::kXxh64;
    EXPECT_EQ(differs(image), vllm || marks) << HashAlgoName(algo);
    EXPECT_EQ(differs(lora), vllm) << HashAlgoName(algo);
    EXPECT_FALSE(differs({})) << HashAlgoName(algo);
  }
}

TEST(BlockHasher, MarksAreTheSameTaggedAndUntagged) {
  const auto tokens = RandomTokens(4, 4);
  const std::vector<uint8_t> digest = {0x0a, 0xff};
  const std::pair<ExtraKeys, ExtraKeys> same[] = {
      {{{{Text("mm"), Text("id"), Number(3)}}}, {{{Text("id"), Number(3)}}}},
      {{{{Text("mm"), Text("id"), Number(3)}}}, {{{Text("id")}, true}}},
      {{{{Text("cache_salt"), Text("s")}}}, {{{Text("s")}, true}}},
      {{{{Text("prompt_embeds"), digest}}}, {{{Text("0aff")}, true}}},
  };
  for (const HashAlgo algo : {HashAlgo::kLlmdD, HashAlgo::kXxh64}) {
    const auto hasher = Make(OptionsOf(algo, 4));
    for (const auto& [a, b] : same) {
      EXPECT_EQ(hasher->Next({}, tokens, &a), hasher->Next({}, tokens, &b));
      EXPECT_NE(hasher->Next({}, tokens, &a), hasher->Next({}, tokens, nullptr));
    }
  }
}

TEST(BlockHasher, Low64IsTheEndBigEndian) {
  std::vector<uint8_t> bytes(16, 0xaa);
  for (uint8_t i = 0; i < 8; ++i) bytes[8 + i] = static_cast<uint8_t>(i + 1);
  EXPECT_EQ(BlockHasher::Low64(BlockHash::Of(bytes)), 0x0102030405060708u);
}

TEST(HashAlgo, NamesAreReadBack) {
  for (const HashAlgo algo : kAll) EXPECT_EQ(ParseHashAlgo(HashAlgoName(algo)), algo);
  for (const char* name : {"", "sha", "SHA256", "sha256 ", "llmd-e", "xxh3"}) {
    EXPECT_EQ(ParseHashAlgo(name), std::nullopt) << name;
  }
  EXPECT_EQ(HashAlgoNames(),
            "sha256, sha256_cbor, xxhash, xxhash_cbor, llmd-a, llmd-b, llmd-c, llmd-d, xxh64, "
            "blake3");
}

}  // namespace
}  // namespace headrace::wire
