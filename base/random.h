// A small seeded generator: the same seed gives the same numbers on every machine. For tests,
// simulated histories and jitter; never for secrets. One thread each.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/result.h"

namespace headrace {

// Spreads a seed or a counter over 64 bits (splitmix64's finalizer).
constexpr uint64_t MixBits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// xoshiro256++, seeded by splitmix64. Usable with std::shuffle and the like, but distributions of
// the standard library differ between libraries: use Below, Between and Chance.
class Random {
 public:
  using result_type = uint64_t;

  explicit constexpr Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      word = MixBits(seed);
    }
  }

  constexpr uint64_t Next() {
    uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // 0 <= result < bound, without bias.
  constexpr uint64_t Below(uint64_t bound) {
    HR_CHECK(bound > 0);
    uint64_t reject = (0 - bound) % bound;  // 2^64 mod bound numbers are one too many
    uint64_t value = Next();
    while (value < reject) value = Next();
    return value % bound;
  }

  // low <= result <= high.
  constexpr uint64_t Between(uint64_t low, uint64_t high) {
    HR_CHECK(low <= high);
    uint64_t span = high - low;
    return span == UINT64_MAX ? Next() : low + Below(span + 1);
  }

  // True `times` times of `of`.
  constexpr bool Chance(uint64_t times, uint64_t of) { return Below(of) < times; }

  // 0 <= result < 1.
  constexpr double Share() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  // A generator for a part of a history, so that one part's draws do not shift another's.
  constexpr Random Fork() { return Random(Next()); }

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return UINT64_MAX; }
  constexpr uint64_t operator()() { return Next(); }

 private:
  std::array<uint64_t, 4> state_{};
};

}  // namespace headrace
