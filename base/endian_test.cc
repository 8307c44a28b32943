#include "base/endian.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace headrace {
namespace {

TEST(BigEndian, WritesTheHighestByteFirst) {
  EXPECT_EQ(BigEndian(uint64_t{0x0102030405060708}), "\1\2\3\4\5\6\7\10");
  EXPECT_EQ(BigEndian(uint16_t{0xfe01}), "\xfe\1");
  EXPECT_EQ(BigEndian(uint8_t{7}), "\7");
}

TEST(BigEndian, AppendsToWhatIsThere) {
  std::string bytes = "a";
  AppendBigEndian(uint32_t{0x62000063}, &bytes);
  EXPECT_EQ(bytes, std::string("ab\0\0c", 5));
}

}  // namespace
}  // namespace headrace
