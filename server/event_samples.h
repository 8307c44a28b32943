// For tests of event publishing: hashes, queued events, and what a reader of messages believes.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/event_queue.h"
#include "wire/event.h"

namespace headrace::server {

// Of 32 bytes; the last 8 are `number`.
inline wire::BlockHash HashOf(uint64_t number) {
  std::vector<uint8_t> bytes(32, 0xab);
  for (int i = 0; i < 8; ++i) bytes[31 - i] = static_cast<uint8_t>(number >> (8 * i));
  return wire::BlockHash::Of(bytes);
}

inline QueuedEvent TopicEvent(engine::NamespaceId name_space, const std::string& name,
                              uint32_t block_tokens = 16) {
  return {.kind = QueuedEvent::Kind::kTopic,
          .name_space = name_space,
          .block_tokens = block_tokens,
          .name = name};
}
// `parent` 0: none.
inline QueuedEvent StoredEvent(uint64_t number, uint64_t parent, uint32_t depth,
                               QueuedEvent::Kind kind = QueuedEvent::Kind::kStored) {
  return {.kind = kind,
          .depth = depth,
          .hash = HashOf(number),
          .parent = parent == 0 ? wire::BlockHash{} : HashOf(parent)};
}
inline QueuedEvent RemovedEvent(uint64_t number,
                                engine::RemoveReason reason = engine::RemoveReason::kEvicted) {
  return {.kind = QueuedEvent::Kind::kRemoved, .reason = reason, .hash = HashOf(number)};
}
inline QueuedEvent Marker(QueuedEvent::Kind kind) {
  return {.kind = kind};
}

// Applies messages as a subscriber does; a block stored twice or removed in vain is a failure.
struct EventReader {
  void Read(const std::string& payload) {
    wire::EventBatch batch;
    const Status decoded =
        decoder.Decode({reinterpret_cast<const uint8_t*>(payload.data()), payload.size()}, &batch);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(batch.bad + batch.unknown, 0u);
    events += batch.events.size();
    for (const wire::Event& event : batch.events) {
      EXPECT_EQ(event.medium, "cpu");
      if (!event.pods.empty()) {
        wire::ReadEventPods(event.pods, &names);
        pods.emplace_back(names.begin(), names.end());
        models.emplace_back(event.pods_model);
      }
      std::optional<uint64_t> parent = event.parent;
      for (const uint64_t hash : event.hashes) {
        if (event.type == wire::EventType::kStored) {
          EXPECT_TRUE(blocks.insert(hash).second) << hash;
          if (parent && !blocks.contains(*parent)) ++orphans;
          parent = hash;
        } else {
          EXPECT_EQ(blocks.erase(hash), 1u) << hash;
          reasons.insert(std::string(event.reason));
        }
      }
    }
  }

  wire::EventDecoder decoder;
  std::vector<std::string_view> names;
  std::set<uint64_t> blocks;
  std::vector<std::vector<std::string>> pods;  // each list that was told
  std::vector<std::string> models;             // with them
  std::set<std::string> reasons;
  size_t events = 0;
  size_t orphans = 0;
};

}  // namespace headrace::server
