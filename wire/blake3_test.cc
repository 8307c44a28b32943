#include "wire/blake3.h"

#include <gtest/gtest.h>

#include "wire/hash_vectors.h"

namespace headrace::wire {
namespace {

TEST(Blake3, AgreesWithItsAuthors) {
  const auto digests = vectors::Load("blake3.json")["digests"];
  ASSERT_GT(digests.size(), 30u);
  for (const auto& entry : digests) {
    std::vector<uint8_t> data(entry[0].get<size_t>());
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i % 251);
    const auto digest = Blake3(data);
    EXPECT_EQ(std::vector<uint8_t>(digest.begin(), digest.end()), vectors::FromHex(entry[1]))
        << data.size();
  }
}

}  // namespace
}  // namespace headrace::wire
