#include "server/event_batch.h"

#include "base/result.h"

namespace headrace::server {
namespace {

constexpr const char* kMedium = "cpu";
constexpr int32_t kRank = 0;  // a server is one publisher; older readers want a number

// The last 8 bytes, big-endian: what engines' events name a block by.
uint64_t LowWord(const wire::BlockHash& hash) {
  uint64_t word = 0;
  const auto bytes = hash.view();
  for (const uint8_t byte : bytes.last(std::min<size_t>(bytes.size(), sizeof(word)))) {
    word = word << 8 | byte;
  }
  return word;
}

}  // namespace

const char* ReasonName(engine::RemoveReason reason) {
  switch (reason) {
    case engine::RemoveReason::kEvicted:
      return "evicted";
    case engine::RemoveReason::kCleared:
      return "cleared";
    case engine::RemoveReason::kPurged:
      return "purged";
    case engine::RemoveReason::kFailed:
      return "failed";
  }
  return "";
}

bool EventBatch::Continues(const ResidentSet::Block& block, uint32_t block_tokens) const {
  if (runs_.empty()) return false;
  const Run& run = runs_.back();
  return run.type == wire::EventType::kStored && run.last == block.parent &&
         run.last_depth + 1 == block.depth && run.hash_bytes == block.hash.size &&
         run.block_tokens == block_tokens && run.lora_id == block.lora_id &&
         run.tokens_a_block == block.tokens.size();
}

void EventBatch::AddHash(const wire::BlockHash& hash) {
  Run& run = runs_.back();
  hashes_.push_back(LowWord(hash));
  full_hashes_.insert(full_hashes_.end(), hash.view().begin(), hash.view().end());
  ++run.count;
  run.last = hash;
}

void EventBatch::AddStored(const ResidentSet::Block& block, uint32_t block_tokens) {
  if (!Continues(block, block_tokens)) {
    runs_.push_back({.type = wire::EventType::kStored,
                     .first = hashes_.size(),
                     .first_byte = full_hashes_.size(),
                     .first_token = tokens_.size(),
                     .tokens_a_block = block.tokens.size(),
                     .hash_bytes = block.hash.size,
                     .parent = block.parent,
                     .block_tokens = block_tokens,
                     .lora_id = block.lora_id});
  }
  AddHash(block.hash);
  runs_.back().last_depth = block.depth;
  tokens_.insert(tokens_.end(), block.tokens.begin(), block.tokens.end());
}

void EventBatch::AddRemoved(const wire::BlockHash& hash, const char* reason) {
  const bool continues = !runs_.empty() && runs_.back().type == wire::EventType::kRemoved &&
                         runs_.back().hash_bytes == hash.size && runs_.back().reason == reason;
  if (!continues) {
    runs_.push_back({.type = wire::EventType::kRemoved,
                     .first = hashes_.size(),
                     .first_byte = full_hashes_.size(),
                     .hash_bytes = hash.size,
                     .reason = reason});
  }
  AddHash(hash);
}

wire::Event EventBatch::View(const Run& run) const {
  wire::Event event{.type = run.type};
  event.hashes = std::span(hashes_).subspan(run.first, run.count);
  event.full_hashes = std::span(full_hashes_).subspan(run.first_byte, run.count * run.hash_bytes);
  event.hash_bytes = run.hash_bytes;
  event.medium = kMedium;
  event.reason = run.reason;
  if (run.type == wire::EventType::kRemoved) return event;
  if (!run.parent.empty()) {
    event.parent = LowWord(run.parent);
    event.full_parent = run.parent.view();
  }
  event.tokens = std::span(tokens_).subspan(run.first_token, run.count * run.tokens_a_block);
  event.block_size = run.block_tokens;
  if (run.lora_id != 0) event.lora_id = static_cast<int64_t>(run.lora_id);
  return event;
}

void EventBatch::AddPods(const ServedPods& pods, std::string_view model, uint32_t block_tokens) {
  HR_CHECK(!pods.packed.empty());
  pods_ = pods.packed;
  pods_model_ = model;
  pods_block_tokens_ = block_tokens;
}

wire::Event EventBatch::PodsEvent() const {
  wire::Event event{.type = wire::EventType::kStored};
  event.block_size = pods_block_tokens_;
  event.medium = kMedium;
  event.pods = {reinterpret_cast<const uint8_t*>(pods_.data()), pods_.size()};
  event.pods_model = pods_model_;
  return event;
}

std::string EventBatch::Encode(double timestamp, const wire::EventForm& form) {
  events_.clear();
  if (!pods_.empty()) events_.push_back(PodsEvent());
  for (const Run& run : runs_) events_.push_back(View(run));
  std::string payload;
  wire::EncodeEventBatch({.timestamp = timestamp, .rank = kRank, .events = events_}, form,
                         &payload);
  HR_CHECK(!payload.empty());
  runs_.clear();
  hashes_.clear();
  full_hashes_.clear();
  tokens_.clear();
  pods_.clear();
  return payload;
}

}  // namespace headrace::server
