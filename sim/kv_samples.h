// For tests of KV events: changes, and what a reader of messages believes.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/kv_cache.h"
#include "wire/event.h"

namespace headrace::sim {

inline wire::BlockHash KvHashOf(uint64_t number, uint8_t size = 8) {
  std::vector<uint8_t> bytes(size, 0xab);
  for (int i = 0; i < 8; ++i) bytes[size - 1 - i] = static_cast<uint8_t>(number >> (8 * i));
  return wire::BlockHash::Of(bytes);
}

// One stored block of 4 tokens.
struct StoredSample {
  explicit StoredSample(uint64_t number, uint8_t size = 8) : hash(KvHashOf(number, size)) {
    change.hashes = {&hash, 1};
    change.tokens = tokens;
  }
  StoredSample(const StoredSample&) = delete;
  StoredSample& operator=(const StoredSample&) = delete;

  wire::BlockHash hash;
  std::vector<uint32_t> tokens = {1, 2, 3, 70000};
  KvChange change;
};

// Applies messages as a subscriber does; a block stored twice or removed in vain is a failure.
struct KvReader {
  void Read(std::string_view payload) {
    const Status decoded =
        decoder.Decode({reinterpret_cast<const uint8_t*>(payload.data()), payload.size()}, &batch);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(batch.bad + batch.unknown, 0u);
    for (const wire::Event& event : batch.events) {
      ++events;
      if (event.type == wire::EventType::kCleared) blocks.clear();
      for (const uint64_t hash : event.hashes) {
        if (event.type == wire::EventType::kStored) {
          EXPECT_TRUE(blocks.insert(hash).second) << hash;
        } else {
          EXPECT_EQ(blocks.erase(hash), 1u) << hash;
        }
      }
    }
  }

  wire::EventDecoder decoder;
  wire::EventBatch batch;  // the last
  std::set<uint64_t> blocks;
  size_t events = 0;
};

}  // namespace headrace::sim
