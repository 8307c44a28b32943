// The router's keys: XXH64 of the parent (8 bytes, little-endian), the tokens (4 bytes each) and,
// for every mark, its length (8 bytes) and its bytes.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cstring>

#include "wire/hash_chain.h"

namespace headrace::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "words are hashed as they lie");

constexpr uint64_t kPrime1 = 0x9e3779b185ebca87;
constexpr uint64_t kPrime2 = 0xc2b2ae3d27d4eb4f;
constexpr uint64_t kPrime3 = 0x165667b19e3779f9;
constexpr uint64_t kPrime4 = 0x85ebca77c2b2ae63;
constexpr uint64_t kPrime5 = 0x27d4eb2f165667c5;

uint64_t Round(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}
uint64_t Merge(uint64_t state, uint64_t lane) {
  return (state ^ Round(0, lane)) * kPrime1 + kPrime4;
}
uint64_t AddWord(uint64_t state, uint64_t word) {
  return std::rotl(state ^ Round(0, word), 27) * kPrime1 + kPrime4;
}
uint64_t TwoTokens(const uint32_t* tokens) {
  uint64_t word;
  std::memcpy(&word, tokens, sizeof word);
  return word;
}

// XXH64 with seed 0 of a parent and its tokens, without a copy that brings them together: only the
// first of the four lanes waits for the block before.
uint64_t HashPlain(uint64_t parent, std::span<const uint32_t> tokens) {
  const uint64_t size_bytes = sizeof parent + tokens.size_bytes();
  const uint32_t* at = tokens.data();
  const uint32_t* const end = at + tokens.size();
  uint64_t state = 0;
  if (tokens.size() >= 6) {
    uint64_t a = Round(kPrime1 + kPrime2, parent);
    uint64_t b = Round(kPrime2, TwoTokens(at));
    uint64_t c = Round(0, TwoTokens(at + 2));
    uint64_t d = Round(0 - kPrime1, TwoTokens(at + 4));
    for (at += 6; end - at >= 8; at += 8) {
      a = Round(a, TwoTokens(at));
      b = Round(b, TwoTokens(at + 2));
      c = Round(c, TwoTokens(at + 4));
      d = Round(d, TwoTokens(at + 6));
    }
    state = std::rotl(a, 1) + (std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18));
    state = Merge(Merge(Merge(Merge(state, a), b), c), d) + size_bytes;
  } else {
    state = AddWord(kPrime5 + size_bytes, parent);
  }
  for (; end - at >= 2; at += 2) state = AddWord(state, TwoTokens(at));
  if (at != end) state = std::rotl(state ^ *at * kPrime1, 23) * kPrime2 + kPrime3;
  state = (state ^ state >> 33) * kPrime2;
  state = (state ^ state >> 29) * kPrime3;
  return state ^ state >> 32;
}

void AppendWord(uint64_t word, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&word), sizeof word);
}
void AppendMark(std::string_view mark, std::string* bytes) {
  AppendWord(mark.size(), bytes);
  bytes->append(mark);
}
uint64_t HashBytes(const std::string& bytes) {
  return XXH64(bytes.data(), bytes.size(), 0);
}

class Xxh64Hasher : public ChainHasher<Xxh64Hasher, uint64_t, NoScratch> {
 public:
  Xxh64Hasher(uint64_t root, uint32_t block_tokens) : ChainHasher(root, block_tokens) {}

  uint64_t Hash(uint64_t parent, std::span<const uint32_t> tokens, const ExtraKeys* extra,
                NoScratch*) const {
    const auto marks = extra == nullptr ? std::nullopt : LlmdMarks(*extra);
    if (!marks) return HashPlain(parent, tokens);
    std::string bytes;
    AppendWord(parent, &bytes);
    bytes.append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
    for (const std::string& mark : *marks) AppendMark(mark, &bytes);
    return HashBytes(bytes);
  }
};

}  // namespace

HasherResult MakeXxh64Hasher(const HasherOptions& options) {
  std::string root;
  AppendWord(HashBytes(options.seed.value_or("")), &root);
  AppendMark(options.model, &root);
  return std::make_unique<const Xxh64Hasher>(HashBytes(root), options.block_tokens);
}

}  // namespace headrace::wire
