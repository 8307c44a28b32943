#include "engine/chain_sum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace headrace::engine {

// A term folds 32 bytes into 16, adds a key that depends on the position, and multiplies the four
// 32-bit words by pairs: the NH step of UMAC. A position costs half a nanosecond, so a list
// of 8192 is checked in less time than its bytes took to arrive.

ChainSum::ChainSum(uint64_t seed) {
  const uint64_t parts[4] = {XXH3_64bits_withSeed("a", 1, seed), XXH3_64bits_withSeed("b", 1, seed),
                             XXH3_64bits_withSeed("c", 1, seed),
                             XXH3_64bits_withSeed("d", 1, seed)};
  for (int i = 0; i < 4; ++i) {
    key_.words[i] = static_cast<uint32_t>(parts[i]);
    step_.words[i] = static_cast<uint32_t>(parts[i] >> 32) | 1;
  }
}

ChainSum::Lanes ChainSum::KeyAt(uint32_t position) const {
  Lanes key;
  for (int i = 0; i < 4; ++i) key.words[i] = key_.words[i] + position * step_.words[i];
  return key;
}

uint64_t ChainSum::Term(const uint8_t* hash, uint32_t position) const {
  uint64_t words[4];
  std::memcpy(words, hash, sizeof(words));
  const uint64_t a = words[0] + words[2];
  const uint64_t b = words[1] + words[3];
  const Lanes key = KeyAt(position);
  const uint32_t a_low = static_cast<uint32_t>(a) + key.words[0];
  const uint32_t a_high = static_cast<uint32_t>(a >> 32) + key.words[1];
  const uint32_t b_low = static_cast<uint32_t>(b) + key.words[2];
  const uint32_t b_high = static_cast<uint32_t>(b >> 32) + key.words[3];
  return uint64_t{a_low} * a_high + uint64_t{b_low} * b_high;
}

#if defined(__SSE2__)

// Hashes of 32 bytes, in four runs side by side: four streams of memory are read at a time, and
// each may be on its way while the others are summed.
uint64_t ChainSum::TermsOf32(const uint8_t* at, uint32_t count, uint32_t position) const {
  constexpr uint32_t kRuns = 4;
  constexpr uint32_t kPair = 2;  // hashes in a cache line
  constexpr size_t kAhead = 512;
  const __m128i step = _mm_loadu_si128(reinterpret_cast<const __m128i*>(step_.words));
  const auto key_at = [this](uint32_t i) {
    const Lanes key = KeyAt(i);
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(key.words));
  };
  const auto term = [](const uint8_t* hash, __m128i key) {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(hash));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(hash + 16));
    const __m128i lanes = _mm_add_epi32(_mm_add_epi64(low, high), key);
    return _mm_mul_epu32(lanes, _mm_srli_epi64(lanes, 32));
  };
  const uint32_t run = count / (kRuns * kPair) * kPair;
  __m128i keys[kRuns], totals[kRuns];
  for (uint32_t r = 0; r < kRuns; ++r) {
    keys[r] = key_at(position + r * run);
    totals[r] = _mm_setzero_si128();
  }
  for (uint32_t i = 0; i < run; i += kPair) {
    for (uint32_t r = 0; r < kRuns; ++r) {
      const uint8_t* hash = at + (size_t{r} * run + i) * 32;
      __builtin_prefetch(hash + kAhead);
      totals[r] = _mm_add_epi64(totals[r], term(hash, keys[r]));
      keys[r] = _mm_add_epi32(keys[r], step);
      totals[r] = _mm_add_epi64(totals[r], term(hash + 32, keys[r]));
      keys[r] = _mm_add_epi32(keys[r], step);
    }
  }
  __m128i total = totals[0];
  for (uint32_t r = 1; r < kRuns; ++r) total = _mm_add_epi64(total, totals[r]);
  for (uint32_t i = kRuns * run; i < count; ++i) {
    total = _mm_add_epi64(total, term(at + size_t{i} * 32, key_at(position + i)));
  }
  uint64_t halves[2];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(halves), total);
  return halves[0] + halves[1];
}

#endif

uint64_t ChainSum::Terms(const wire::HashList& hashes, uint32_t offset, uint32_t from,
                         uint32_t to) const {
#if defined(__SSE2__)
  if (hashes.hash_bytes() == 32) {
    return TermsOf32(hashes.raw().data() + size_t{from} * 32, to - from, offset + from);
  }
#endif
  uint64_t sum = 0;
  for (uint32_t i = from; i < to; ++i) sum += Term(hashes[i], offset + i);
  return sum;
}

}  // namespace headrace::engine
