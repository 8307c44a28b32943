// A fleet for tests: an index of blocks of four tokens with pods that were told of by events.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "indexer/fleet_index.h"

namespace headrace::indexer {

inline wire::HasherOptions SampleHash() {
  return {.algo = wire::HashAlgo::kLlmdD, .seed = "", .model = "", .block_tokens = 4};
}

inline std::unique_ptr<FleetIndex> MakeFleet(const ReplicaPlace& place = {}) {
  std::string message;
  auto fleet = FleetIndex::Create({.hash = SampleHash(), .seed = 7, .place = place}, &message);
  HR_CHECK(fleet.has_value());
  return std::move(*fleet);
}

// One of two that split the index behind the first block.
inline constexpr const char* kReplicas[] = {"10.0.0.1:9091", "10.0.0.2:9091"};
inline ReplicaPlace PlaceOf(size_t self) {
  std::string message;
  auto place = ReplicaPlace::Create(
      {.all = {kReplicas[0], kReplicas[1]}, .self = kReplicas[self], .first_blocks = 2}, &message);
  HR_CHECK(place.has_value());
  return std::move(*place);
}

// Tokens 1 to `count`.
inline std::vector<uint32_t> Counting(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i < count; ++i) tokens[i] = i + 1;
  return tokens;
}

// `pod` stores these tokens of model "m" as blocks with the engine's hashes 101, 102, ...
inline void Store(FleetIndex* fleet, const std::string& pod, const std::vector<uint32_t>& tokens,
                  const std::string& medium = "GPU") {
  std::vector<uint64_t> hashes;
  hashes.reserve(tokens.size() / 4);
  for (size_t i = 0; i < tokens.size() / 4; ++i) hashes.push_back(101 + i);
  const wire::Event event{.type = wire::EventType::kStored,
                          .hashes = hashes,
                          .tokens = tokens,
                          .block_size = 4,
                          .medium = medium};
  auto feed = fleet->digest()->Open(pod, "m");
  HR_CHECK(feed.has_value());
  const wire::EventBatch batch{.events = {&event, 1}};
  const Status applied = fleet->digest()->Apply(&*feed, batch, Time());
  HR_CHECK(applied.has_value());
}

inline std::vector<RequestKey> KeysOf(const std::vector<uint32_t>& tokens) {
  auto keys = IngestKeys::Create(SampleHash());
  HR_CHECK(keys.has_value());
  std::vector<RequestKey> out;
  const Status made = (*keys)->PromptKeys("m", {}, tokens, &out);
  HR_CHECK(made.has_value());
  return out;
}

}  // namespace headrace::indexer
