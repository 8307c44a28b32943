#include "transport/local/copy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace headrace::transport {
namespace {

std::vector<uint8_t> Pattern(size_t bytes) {
  std::vector<uint8_t> data(bytes);
  uint32_t state = 12345;
  for (uint8_t& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return data;
}

// Every kernel, at one size and one pair of alignments, must write exactly [0, n).
void ExpectExact(const CopyKernel& kernel, size_t n, size_t from, size_t to) {
  const std::vector<uint8_t> source = Pattern(n + from + 64);
  std::vector<uint8_t> target(n + to + 128, 0xee);
  uint8_t* const dst = target.data() + to + 16;
  kernel.copy(dst, source.data() + from, n, source.data());
  CopyFence();
  const std::string where = std::string(kernel.name) + ", " + std::to_string(n) + " bytes from +" +
                            std::to_string(from) + " to +" + std::to_string(to);
  ASSERT_EQ(std::memcmp(dst, source.data() + from, n), 0) << where;
  for (uint8_t* byte = target.data(); byte < dst; ++byte) ASSERT_EQ(*byte, 0xee) << where;
  for (uint8_t* byte = dst + n; byte < target.data() + target.size(); ++byte) {
    ASSERT_EQ(*byte, 0xee) << where;
  }
}

TEST(Copy, WritesExactlyItsRangeAtAnyAlignment) {
  for (const CopyKernel& kernel : CopyKernels()) {
    for (size_t n : {0, 1, 63, 64, 127, 1023, 1024, 1025, 1087, 1151, 4096, 5000}) {
      for (size_t from : {0, 1, 32, 63}) {
        for (size_t to : {0, 1, 15, 48}) ExpectExact(kernel, n, from, to);
      }
    }
  }
}

TEST(Copy, WritesExactlyItsRangeWithEitherPrefetchDistance) {
  for (const CopyKernel& kernel : CopyKernels()) {
    for (size_t n : {(128u << 10) - 1, 128u << 10, (128u << 10) + 77}) ExpectExact(kernel, n, 5, 3);
  }
}

TEST(Copy, PrefetchesFromAddressesThatAreNotThere) {
  const std::vector<uint8_t> source = Pattern(8192);
  std::vector<uint8_t> target(8192);
  for (const CopyKernel& kernel : CopyKernels()) {
    kernel.copy(target.data(), source.data(), source.size(), reinterpret_cast<uint8_t*>(4096));
    CopyFence();
    EXPECT_EQ(target, source) << kernel.name;
    kernel.copy(target.data(), source.data(), source.size(), nullptr);
  }
}

TEST(Copy, AlwaysHasLibcAsTheLastKernel) {
  EXPECT_STREQ(CopyKernels().back().name, "libc");
  EXPECT_EQ(&BestCopyKernel(), &CopyKernels().front());
#if defined(__x86_64__)
  EXPECT_GE(CopyKernels().size(), 2u);
#endif
}

}  // namespace
}  // namespace headrace::transport
