// LMCache's chunk hashes: BLAKE3 of the parent (32 bytes) and the tokens (4 bytes each,
// big-endian). No seed, no model, no extra keys.
#include <bit>
#include <cstring>

#include "wire/blake3.h"
#include "wire/hash_chain.h"

namespace headrace::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "a token is turned round");

class Blake3Hasher : public ChainHasher<Blake3Hasher, BlockHash, std::vector<uint8_t>> {
 public:
  Blake3Hasher(const BlockHash& root, uint32_t block_tokens) : ChainHasher(root, block_tokens) {}

  BlockHash Hash(const BlockHash& parent, std::span<const uint32_t> tokens, const ExtraKeys*,
                 std::vector<uint8_t>* bytes) const {
    bytes->resize(parent.size + tokens.size_bytes());
    std::memcpy(bytes->data(), parent.bytes.data(), parent.size);
    uint8_t* at = bytes->data() + parent.size;
    for (const uint32_t token : tokens) {
      const uint32_t big_endian = __builtin_bswap32(token);
      std::memcpy(at, &big_endian, sizeof big_endian);
      at += sizeof big_endian;
    }
    return BlockHash::Of(Blake3(*bytes));
  }
};

}  // namespace

HasherResult MakeBlake3Hasher(const HasherOptions& options) {
  if (options.seed) return Fail(Errc::kInvalid, "seed: blake3 has none");
  const uint8_t nothing[12] = {};  // the number 0 in 8 bytes, the token 0 in 4
  return std::make_unique<const Blake3Hasher>(BlockHash::Of(Blake3(nothing)), options.block_tokens);
}

}  // namespace headrace::wire
