#include "wire/hash.h"

#include <array>

#include "wire/hash_chain.h"

namespace headrace::wire {
namespace {

struct Row {
  HashAlgo algo;
  std::string_view name;
  HasherResult (*make)(const HasherOptions& options);
};
constexpr std::array kRows = {
    Row{HashAlgo::kSha256, "sha256", MakeVllmHasher},
    Row{HashAlgo::kSha256Cbor, "sha256_cbor", MakeVllmHasher},
    Row{HashAlgo::kXxhash, "xxhash", MakeVllmHasher},
    Row{HashAlgo::kXxhashCbor, "xxhash_cbor", MakeVllmHasher},
    Row{HashAlgo::kLlmdA, "llmd-a", MakeLlmdShaHasher},
    Row{HashAlgo::kLlmdB, "llmd-b", MakeLlmdShaHasher},
    Row{HashAlgo::kLlmdC, "llmd-c", MakeFnvHasher},
    Row{HashAlgo::kLlmdD, "llmd-d", MakeFnvHasher},
    Row{HashAlgo::kXxh64, "xxh64", MakeXxh64Hasher},
    Row{HashAlgo::kBlake3, "blake3", MakeBlake3Hasher},
};

const Row& RowOf(HashAlgo algo) {
  const auto index = static_cast<size_t>(algo);
  HR_CHECK(index < kRows.size() && kRows[index].algo == algo);
  return kRows[index];
}

}  // namespace

std::optional<HashAlgo> ParseHashAlgo(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.algo;
  }
  return std::nullopt;
}

std::string_view HashAlgoName(HashAlgo algo) {
  return RowOf(algo).name;
}

std::string HashAlgoNames() {
  std::string names;
  for (const Row& row : kRows) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

Result<std::unique_ptr<const BlockHasher>> BlockHasher::Create(const HasherOptions& options) {
  if (options.block_tokens == 0 || options.block_tokens > HasherOptions::kMaxBlockTokens) {
    return Fail(Errc::kInvalid, "block_tokens: 1 to 65536");
  }
  return RowOf(options.algo).make(options);
}

uint64_t BlockHasher::Low64(const BlockHash& hash) {
  HR_CHECK(hash.size >= sizeof(uint64_t));
  uint64_t word = 0;
  for (size_t i = hash.size - sizeof(uint64_t); i < hash.size; ++i)
    word = word << 8 | hash.bytes[i];
  return word;
}

}  // namespace headrace::wire
